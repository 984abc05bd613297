//! The request target: what its path and query say before any body is read.

use crate::dialect::Operation;

/// Path and query of a request.
pub(crate) struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

/// What the target says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Route {
    /// Model named by path or query, whatever the body says.
    pub(crate) model: Option<String>,
    /// Deployment named by the path: the model if the body names none.
    pub(crate) deployment: Option<String>,
    /// How a stream is asked for.
    pub(crate) ask: Ask,
    /// The answer shows what another request asked for.
    pub(crate) deferred: bool,
    /// Only if it differs from that of the dialect.
    pub(crate) operation: Option<Operation>,
}

/// How a request asks for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ask {
    /// Body member or form field `stream`: `true`.
    #[default]
    Member,
    /// Body member `stream_format`: `"sse"`.
    Format,
    /// Always, unless the body says `stream: false`.
    UnlessFalse,
    /// The target says so.
    Yes,
    /// Never.
    No,
}

impl Route {
    /// The model requested, given what the body names.
    pub(crate) fn name<'a>(&'a self, body: Option<&'a [u8]>) -> Option<&'a [u8]> {
        let bytes = |name: &'a Option<String>| name.as_deref().map(str::as_bytes);
        bytes(&self.model).or(body).or(bytes(&self.deployment))
    }
}

impl<'a> Target<'a> {
    pub(crate) fn new(path: &'a str, query: Option<&'a str>) -> Self {
        Self { path: path.trim_end_matches('/'), query }
    }

    /// The whole path, without a slash at the end.
    pub(crate) fn path(&self) -> &'a str {
        self.path
    }

    /// Whether the path ends with these segments.
    pub(crate) fn ends(&self, end: &str) -> bool {
        self.path.ends_with(end)
    }

    /// The part between the last `start` and `end` at the end of the path.
    pub(crate) fn between(&self, start: &str, end: &str) -> Option<String> {
        let path = self.path.strip_suffix(end)?;
        let at = behind_last(path, start)?;
        (at < path.len()).then(|| percent_decoded(&path[at..]))
    }

    /// The segment that follows `start`.
    pub(crate) fn after(&self, start: &str) -> Option<String> {
        let at = behind_last(self.path, start)?;
        let segment = self.path[at..].split('/').next()?;
        (!segment.is_empty()).then(|| percent_decoded(segment))
    }

    /// The value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.query?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == name && !value.is_empty()).then(|| percent_decoded(value))
        })
    }
}

/// Where the last `start` ends, which begins with a slash. Compared at slashes only:
/// each request looks for several, and hardly any has one. Paths are too short for a
/// vector search.
fn behind_last(path: &str, start: &str) -> Option<usize> {
    let mut end = path.len();
    while let Some(at) = path.as_bytes()[..end].iter().rposition(|byte| *byte == b'/') {
        if path[at..].starts_with(start) {
            return Some(at + start.len());
        }
        end = at;
    }
    None
}

/// Percent-decodes once; what does not decode stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|pair| {
            let digits = std::str::from_utf8(pair).ok()?;
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
            u8::from_str_radix(digits, 16).ok()
        });
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_of_several_is_found_at_slashes_only() {
        for (path, start) in [
            ("/a/b/a/c", "/a/"),
            ("/a/b/c/", "/b/c/"),
            ("/xa/b", "a/b"),
            ("/a//a/", "//"),
            ("", "/a/"),
            ("/é/a/é", "/a/"),
        ] {
            let expected = path.rfind(start).filter(|_| start.starts_with('/'));
            let found = behind_last(path, start);
            assert_eq!(found, expected.map(|at| at + start.len()), "{start} in {path}");
        }
    }
}
