//! A head in the form in which metering and routing know it.

use http::{HeaderMap, Method, Request, Uri, Version, request::Parts};
use modash_http1::{Lines, RequestHead};

use crate::frames;

/// A request head.
pub(super) fn parts(read: &RequestHead, head: &[u8], lines: &Lines) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(read.method.of(head)).unwrap_or_default();
    parts.uri = uri(read.target.of(head));
    parts.version = match read.version {
        modash_http1::Version::Http10 => Version::HTTP_10,
        modash_http1::Version::Http11 => Version::HTTP_11,
    };
    parts.headers = headers(head, lines);
    parts
}

/// Header lines.
pub(super) fn headers(head: &[u8], lines: &Lines) -> HeaderMap {
    frames::headers(head, lines, |_| true)
}

/// A target as metering knows it. What no URI may have is escaped; what is sent on
/// keeps it.
fn uri(target: &[u8]) -> Uri {
    if let Ok(uri) = Uri::try_from(target) {
        return uri;
    }
    let mut escaped = String::with_capacity(target.len() + 16);
    for byte in target {
        match byte {
            b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'\\' | b'^' | 0x7f.. => {
                escaped.push_str(&format!("%{byte:02X}"));
            }
            _ => escaped.push(char::from(*byte)),
        }
    }
    Uri::try_from(escaped).unwrap_or_default()
}
