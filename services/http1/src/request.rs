//! Request heads: judged strictly, because whoever stands before or behind may read
//! them otherwise (request smuggling, RFC 9112 11.2).

use std::mem::MaybeUninit;

use crate::{
    Fault, Field, Framing, HopLines, Line, Lines, Span, Version,
    lines::{Fate, Tokens, elements},
};

/// How a request names what it asks for (RFC 9112 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetForm {
    /// A path with an optional query.
    Origin,
    /// A URL, as clients send it to a forward proxy.
    Absolute,
    /// `host:port`, with CONNECT.
    Authority,
    /// `*`, with OPTIONS.
    Asterisk,
}

/// What a request head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead {
    /// Method.
    pub method: Span,
    /// Target as it was sent.
    pub target: Span,
    /// Its form.
    pub form: TargetForm,
    /// Version of the client.
    pub version: Version,
    /// How its body ends: never [`Framing::UntilClose`].
    pub framing: Framing,
    /// What is said for this hop.
    pub hop: HopLines,
    /// `Expect: 100-continue`: the client waits to be asked for the body.
    pub expects_continue: bool,
}

/// What changes in a request head on its way.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestChanges<'a> {
    /// The new target, in two parts that are joined.
    pub target: [&'a [u8]; 2],
    /// The new value of `Host`; `None` leaves it.
    pub host: Option<&'a [u8]>,
    /// Whole lines that are added, each with its CRLF.
    pub added: &'a [u8],
}

impl RequestHead {
    /// Judges a complete head, as [`HeadScan::end`](crate::HeadScan::end) found it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn read(head: &[u8], lines: &mut Lines) -> Result<Self, Fault> {
        let mut tokens: Tokens<'_> = [const { MaybeUninit::uninit() }; crate::MAX_LINES];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut tokens) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooLarge),
            _ => return Err(Fault::Malformed),
        }
        let (Some(method), Some(target), Some(version)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(Fault::Malformed);
        };
        lines.read(head, parsed.headers)?;
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let hop = HopLines::read(head, lines, version, true)?;
        check_host(head, lines, version)?;
        let mut expectations = lines.of_field(Field::Expect);
        Ok(Self {
            method: Span::within(head, method.as_bytes()),
            target: Span::within(head, target.as_bytes()),
            form: form(method, target)?,
            version,
            framing: framing(head, lines, version)?,
            hop,
            expects_continue: version == Version::Http11
                && expectations.any(|line| is_continue(line.value.of(head))),
        })
    }

    /// Whether the client's connection stays open behind the response (RFC 9112 9.3).
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        !self.hop.close && (self.version == Version::Http11 || self.hop.keep_alive)
    }

    /// Whether the method is HEAD, so that the response has no body.
    #[must_use]
    pub fn is_head(&self, head: &[u8]) -> bool {
        self.method.of(head) == b"HEAD"
    }

    /// Whether the method is safe (RFC 9110 9.2.1).
    #[must_use]
    pub fn is_safe(&self, head: &[u8]) -> bool {
        matches!(self.method.of(head), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
    }

    /// Appends the head as the next hop gets it, in HTTP/1.1.
    pub fn write(
        &self,
        head: &[u8],
        lines: &mut Lines,
        changes: &RequestChanges<'_>,
        output: &mut Vec<u8>,
    ) {
        for part in [self.method.of(head), b" ", changes.target[0], changes.target[1]] {
            output.extend_from_slice(part);
        }
        output.extend_from_slice(b" HTTP/1.1\r\n");
        let mut host = changes.host.unwrap_or_default();
        if changes.host.is_some() {
            for line in lines.of_field_mut(Field::Host) {
                line.fate = Fate::Replaced;
                host = changes.host.unwrap_or_default();
            }
        }
        let replacement = |field| match field {
            Field::Host => host,
            Field::Te => b"trailers",
            _ => self.hop.options(),
        };
        lines.write(head, replacement, output);
        // HTTP/1.0 needs no host.
        if let (Some(host), None) = (changes.host, lines.of_field(Field::Host).next()) {
            line(b"Host", host, output);
        }
        if self.hop.trailers && lines.of_field(Field::Connection).next().is_none() {
            line(b"Connection", self.hop.options(), output);
        }
        output.extend_from_slice(changes.added);
        output.extend_from_slice(b"\r\n");
    }
}

/// Appends a header line.
pub(crate) fn line(name: &[u8], value: &[u8], output: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        output.extend_from_slice(part);
    }
}

fn form(method: &str, target: &str) -> Result<TargetForm, Fault> {
    if target.contains('#') {
        return Err(Fault::Fragment);
    }
    match target.as_bytes()[0] {
        _ if method == "CONNECT" => Ok(TargetForm::Authority),
        b'/' => Ok(TargetForm::Origin),
        b'*' if target.len() == 1 && method == "OPTIONS" => Ok(TargetForm::Asterisk),
        _ if target.contains("://") => Ok(TargetForm::Absolute),
        _ => Err(Fault::BadTarget),
    }
}

fn check_host(head: &[u8], lines: &Lines, version: Version) -> Result<(), Fault> {
    let mut hosts = lines.of_field(Field::Host);
    let Some(host) = hosts.next() else {
        return if version == Version::Http10 { Ok(()) } else { Err(Fault::NoHost) };
    };
    if hosts.next().is_some() {
        return Err(Fault::RepeatedHost);
    }
    if host.value.of(head).iter().all(|byte| is_host_byte(*byte)) {
        Ok(())
    } else {
        Err(Fault::BadHost)
    }
}

/// Whether a host with its port may have this byte (RFC 3986 3.2.2). A comma may be
/// in a name, but here it is two values that somebody joined.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}

fn framing(head: &[u8], lines: &Lines, version: Version) -> Result<Framing, Fault> {
    let mut lengths = lines.of_field(Field::ContentLength);
    let mut codings = lines.of_field(Field::TransferEncoding);
    let framing = match (lengths.next(), codings.next()) {
        (None, None) => Framing::None,
        (Some(_), Some(_)) => return Err(Fault::TwoFramings),
        (Some(length), None) if has_tab(head, length) => return Err(Fault::BadLength),
        (None, Some(coding)) if has_tab(head, coding) => return Err(Fault::BadCoding),
        (Some(length), None) => Framing::of_length(length.value.of(head))?,
        (None, Some(_)) if version == Version::Http10 => return Err(Fault::CodingInHttp10),
        (None, Some(coding)) => {
            let value = coding.value.of(head);
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(foreign(value));
            }
            Framing::Chunked
        }
    };
    if lengths.next().is_some() {
        return Err(Fault::RepeatedLength);
    }
    if codings.next().is_some() {
        return Err(Fault::RepeatedCoding);
    }
    Ok(framing)
}

/// Whether a tab stands beside the value. It may (RFC 9110 5.6.3), but some servers
/// take it for a part of the value.
fn has_tab(head: &[u8], line: &Line) -> bool {
    let before = &head[line.name.end as usize..line.value.start as usize];
    let behind = head[line.value.end as usize..].iter().take_while(|byte| **byte != b'\r');
    before.contains(&b'\t') || behind.into_iter().any(|byte| *byte == b'\t')
}

/// Why a transfer coding is refused: `gzip, chunked` has an end, others have none.
fn foreign(codings: &[u8]) -> Fault {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let count = elements(codings).filter(|coding| is_chunked(coding)).count();
    match elements(codings).last() {
        Some(last) if is_chunked(last) && count == 1 => Fault::ForeignCoding,
        _ => Fault::BadCoding,
    }
}

fn is_continue(expectation: &[u8]) -> bool {
    elements(expectation).any(|element| element.eq_ignore_ascii_case(b"100-continue"))
}
