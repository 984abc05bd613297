//! A head as metering reads it, where it lies; in the types of `http` only for
//! `inject`.

use http::{HeaderMap, Method, Request, Uri, Version, request::Parts};
use modash_http1::{Lines, RequestHead};
use modash_metering::{Head, HeaderLine, Headers};

use crate::frames;

/// The lines of a head in its buffer.
pub(super) struct RawHeaders<'a> {
    pub(super) head: &'a [u8],
    pub(super) lines: &'a Lines,
}

impl Headers for RawHeaders<'_> {
    fn lines(&self) -> impl Iterator<Item = HeaderLine<'_>> {
        self.lines.iter().map(|line| (line.name.of(self.head), line.value.of(self.head)))
    }
}

/// Shows a request head to metering.
pub(super) fn with_head<T>(
    read: &RequestHead,
    head: &[u8],
    lines: &Lines,
    show: impl FnOnce(&Head<'_, RawHeaders<'_>>) -> T,
) -> T {
    let target = read.target.of(head);
    let escaped;
    let (path, query) = match plain(target) {
        Some(target) => {
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
        }
        None => {
            escaped = uri(target);
            (escaped.path(), escaped.query())
        }
    };
    let method = std::str::from_utf8(read.method.of(head)).unwrap_or_default();
    show(&Head { method, path, query, headers: &RawHeaders { head, lines } })
}

/// A target of which nothing has to be escaped.
fn plain(target: &[u8]) -> Option<&str> {
    let plain = target.iter().all(|byte| {
        matches!(byte, b'!' | b'$'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~')
    });
    std::str::from_utf8(target).ok().filter(|_| plain)
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_target_is_read_as_the_library_reads_it(target in "/[!-~é]{0,40}") {
            let parsed = uri(target.as_bytes());
            if let Some(plain) = plain(target.as_bytes()).filter(|plain| !plain.contains('#')) {
                let (path, query) =
                    plain.split_once('?').map_or((plain, None), |(path, query)| (path, Some(query)));
                prop_assert_eq!((path, query), (parsed.path(), parsed.query()));
            }
        }
    }
}
