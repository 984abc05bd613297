//! Asking for usage that the client did not ask for (`inject` mode, spec
//! section 10), and hiding that it was asked. Sans-IO like the rest; the proxy
//! wires it in this order:
//!
//! 1. `Injection::new` with the request head: `None` means forward as usual.
//! 2. Each body piece is held and shown to `Injection::push`. If that returns
//!    `false`, forward what is held and the rest as usual.
//! 3. At the end `Injection::end` gives what to add to the body, and where. If there is
//!    something, set `content-length` to the new length and `accept-encoding` to
//!    `identity`.
//!    `Injection::model` names what `Refusals` remembers beside the upstream.
//! 4. If the answer `may_refuse`, drop it and send the original body with the
//!    original head; if that is answered otherwise, call `Refusals::remember`.
//! 5. `ResponseFilter::new` with the head of the answer; the meter sees the
//!    upstream's bytes, the client what the filter returns, without
//!    `content-length` and `content-encoding`. As soon as it `is_last`, call
//!    `Refusals::remember`.
//! 6. Call `Refusals::remember_all` if the head of any answer `tells_timings`.
//!
//! The body is held (up to a limit) and not spliced on the fly: whether `stream`
//! is true may be known only at its end, the length has to be known before its
//! beginning, and a refusal needs the original once more.

mod chunk;
mod refusals;
mod request;
mod response;

use http::{HeaderMap, Method, StatusCode, Uri, header};

pub use refusals::{Model, Refusals};
pub use request::{Addition, Injection};
pub use response::ResponseFilter;

use crate::dialect::Dialect;
use crate::head::Headers;
use crate::target::Target;

/// Whether an answer to a changed request may be a refusal of the change: then
/// the original must be sent, and the client must not see this answer.
#[must_use]
pub fn may_refuse(status: StatusCode) -> bool {
    status == StatusCode::BAD_REQUEST || status == StatusCode::UNPROCESSABLE_ENTITY
}

/// Whether the head of an answer is that of a server that reports `timings` in
/// every stream, so that asking it gains nothing.
#[must_use]
pub fn tells_timings(headers: &impl Headers) -> bool {
    headers.value("server").is_some_and(|server| server.starts_with(b"llama.cpp"))
}

/// Hosts that report usage in every stream, or refuse the option (spec 10.2).
const NOT_ASKED: [&str; 4] =
    ["api.mistral.ai", "api.groq.com", "openrouter.ai", "generativelanguage.googleapis.com"];

/// Whether a request may be changed, by its head and the host it goes to.
fn may_change(method: &Method, uri: &Uri, headers: &HeaderMap, host: &str) -> bool {
    let (dialect, _) = Dialect::of(&Target::new(uri.path(), uri.query()));
    let host = host.split(':').next().unwrap_or(host);
    let json = headers.get(header::CONTENT_TYPE).is_none_or(|kind| {
        kind.to_str().is_ok_and(|kind| kind.to_ascii_lowercase().contains("json"))
    });
    method == Method::POST
        && matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiCompletions)
        && json
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !is_signed(headers)
        && !NOT_ASKED.contains(&host)
}

/// Whether a signature or a digest may cover the body.
fn is_signed(headers: &HeaderMap) -> bool {
    let name = |name: &str| {
        ["signature", "digest", "hmac", "content-md5", "x-amz-content-sha256", "x-amz-date"]
            .iter()
            .any(|part| name.contains(part))
    };
    // A bearer token or a basic credential does not look at the body; any other
    // scheme may.
    let scheme = |value: &http::HeaderValue| {
        let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or(b"");
        !scheme.eq_ignore_ascii_case(b"bearer") && !scheme.eq_ignore_ascii_case(b"basic")
    };
    headers.keys().any(|key| name(key.as_str()))
        || headers.get_all(header::AUTHORIZATION).iter().any(scheme)
}
