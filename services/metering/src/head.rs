//! Message heads as metering reads them: header lines where they lie, in a buffer or
//! in a `HeaderMap`. Nothing is copied or looked up; one pass finds what is wanted.

use http::{HeaderMap, Method, Uri};

/// Name, in any case, and value of one header line.
pub type HeaderLine<'a> = (&'a [u8], &'a [u8]);

/// Header lines in any storage.
pub trait Headers {
    /// All lines; those of one name in the order in which they came.
    fn lines(&self) -> impl Iterator<Item = HeaderLine<'_>>;

    /// Value of the first line with this name, given in lower case.
    fn value(&self, name: &str) -> Option<&[u8]> {
        self.lines().find(|line| line.0.eq_ignore_ascii_case(name.as_bytes())).map(|line| line.1)
    }
}

impl Headers for HeaderMap {
    fn lines(&self) -> impl Iterator<Item = HeaderLine<'_>> {
        self.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }
}

/// A request head.
#[derive(Debug)]
pub struct Head<'a, H> {
    /// Method.
    pub method: &'a str,
    /// Path of the target, `*` or empty.
    pub path: &'a str,
    /// What follows the `?` of the target.
    pub query: Option<&'a str>,
    /// Header lines.
    pub headers: &'a H,
}

impl<'a> Head<'a, HeaderMap> {
    /// A head in the types of the `http` crate.
    #[must_use]
    pub fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self { method: method.as_str(), path: uri.path(), query: uri.query(), headers }
    }
}

impl<'a> From<&'a http::request::Parts> for Head<'a, HeaderMap> {
    fn from(head: &'a http::request::Parts) -> Self {
        Self::new(&head.method, &head.uri, &head.headers)
    }
}

/// What the lines of a head say about its body.
#[derive(Debug, Default)]
pub(crate) struct BodyLines<'a> {
    /// `Content-Type`.
    pub(crate) kind: Option<&'a [u8]>,
    /// All of `Content-Encoding`, the first one applied first.
    pub(crate) codings: Vec<&'a [u8]>,
    /// `Upgrade`.
    pub(crate) upgrade: Option<&'a [u8]>,
    /// `Sec-WebSocket-Extensions`.
    pub(crate) extensions: Option<&'a [u8]>,
}

impl<'a> BodyLines<'a> {
    /// Takes a line that is one of these.
    pub(crate) fn take(&mut self, (name, value): HeaderLine<'a>) {
        let is = |lower: &[u8]| name.eq_ignore_ascii_case(lower);
        let place = match name.len() {
            7 if is(b"upgrade") => &mut self.upgrade,
            12 if is(b"content-type") => &mut self.kind,
            16 if is(b"content-encoding") => return self.codings.push(value),
            24 if is(b"sec-websocket-extensions") => &mut self.extensions,
            _ => return,
        };
        place.get_or_insert(value);
    }
}

/// A value as text, if it is printable ASCII.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    let printable = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| printable)
}
