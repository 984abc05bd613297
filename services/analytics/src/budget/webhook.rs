//! Sends a notice once: signed as the Standard Webhooks specification says, on a
//! connection of its own. Redirects are not followed, and of an answer only the status
//! matters.

use std::{error::Error, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use modash_runtime::ClientTls;
use sha2::Sha256;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};
use url::{Host, Position, Url};

use crate::store::DueNotice;

/// Longest time of an attempt, from the look-up of the host's address to the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of an answer that are read, so that a short one ends in order.
const MOST_BYTES: usize = 4 << 10;

const AGENT: &str = concat!("modash/", env!("CARGO_PKG_VERSION"));

/// Why a webhook did not take a notice.
#[derive(Debug, PartialEq)]
pub(super) struct Refused {
    /// In words, without what the webhook said.
    pub(super) text: String,
    /// It wants no more of them.
    pub(super) gone: bool,
    /// How long it wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Refused {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), gone: false, retry_after: None }
    }
}

/// Sends a notice.
pub(super) async fn send(tls: &ClientTls, notice: &DueNotice) -> Result<(), Refused> {
    let timed_out = |_| Refused::new(format!("no answer within {} s", TIMEOUT.as_secs()));
    tokio::time::timeout(TIMEOUT, attempt(tls, notice)).await.map_err(timed_out)?
}

async fn attempt(tls: &ClientTls, notice: &DueNotice) -> Result<(), Refused> {
    let url = notice.webhook_url.as_deref().and_then(|url| Url::parse(url).ok());
    let url = url.ok_or_else(|| Refused::new("the budget has no webhook"))?;
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(Refused::new("the webhook has no host")),
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let request = signed(&url, notice)?;
    let stream = TcpStream::connect((host.as_str(), port)).await;
    let stream = stream.map_err(|error| unreachable(&error))?;
    if url.scheme() == "https" {
        let stream = tls.connect(&host, stream, false).await;
        exchange(stream.map_err(|error| unreachable(&error))?, request).await
    } else {
        exchange(stream, request).await
    }
}

/// The request of an attempt: its id is the same each time, its time is not.
fn signed(url: &Url, notice: &DueNotice) -> Result<Request<Full<Bytes>>, Refused> {
    let (id, at) = (notice.notice_id.to_string(), Utc::now().timestamp());
    let secret = notice.webhook_secret.as_ref().map_or(&[][..], |secret| &secret.0);
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    Request::post(&url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, authority)
        .header(header::USER_AGENT, AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .header("webhook-signature", format!("v1,{}", signature(secret, &id, at, &notice.body)))
        .header("webhook-id", id)
        .header("webhook-timestamp", at)
        .body(Full::from(notice.body.clone()))
        .map_err(|_| Refused::new("the address of the webhook cannot be used"))
}

fn signature(secret: &[u8], id: &str, at: i64, body: &str) -> String {
    // HMAC takes keys of any length (RFC 2104, section 2).
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    let mac = mac.chain_update(format!("{id}.{at}.{body}"));
    STANDARD.encode(mac.finalize().into_bytes())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(), Refused> {
    let broken = |error: hyper::Error| unreachable(&error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with this future.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    // The status decides, however the rest goes.
    let _ = tokio::time::timeout(Duration::from_secs(1), drain(body)).await;
    if head.status.is_success() {
        return Ok(());
    }
    let seconds = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    Err(Refused {
        text: format!("status {}", head.status.as_u16()),
        gone: head.status == StatusCode::GONE,
        retry_after: seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs),
    })
}

async fn drain(mut body: Incoming) {
    let mut left = MOST_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length >= left {
            return;
        }
        left -= length;
    }
}

/// What went wrong on the way, with the causes.
fn unreachable(error: &(dyn Error + 'static)) -> Refused {
    let mut text = format!("cannot be reached: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text.truncate(text.floor_char_boundary(300));
    Refused::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standard_webhooks_libraries() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let found = signature(&secret, id, 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(found, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_error_is_told_with_its_causes_and_not_at_length() {
        let io = std::io::Error::other("x".repeat(1_000));
        let text = unreachable(&io).text;
        assert!(text.starts_with("cannot be reached: x") && text.len() == 300, "{text}");
    }
}
