//! Response heads: what an upstream answers, as the client gets it.

use std::mem::MaybeUninit;

use crate::{
    Fault, Field, Framing, HopLines, Lines, RequestHead, Span, Version,
    lines::{Fate, Tokens},
    request::line,
};

/// What a response head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status.
    pub status: u16,
    /// Version of the upstream.
    pub version: Version,
    /// How its body ends.
    pub framing: Framing,
    /// What is said for this hop.
    pub hop: HopLines,
    /// The status line behind the version, from the space to the CRLF: the reason
    /// phrase goes on as it came.
    status_line: Span,
    /// It announces a body that a response with this status cannot have.
    impossible_body: bool,
}

/// What changes in a response head on its way.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseChanges<'a> {
    /// The version that the client is told.
    pub version: Version,
    /// Chunks are taken off the body, because the client knows none.
    pub unchunked: bool,
    /// The body gets another length and is chunked: what frames it now falls out.
    pub rechunked: bool,
    /// What the client is told of its connection: `close`, `keep-alive`, or nothing.
    pub connection: Option<&'a [u8]>,
}

impl ResponseHead {
    /// Judges a complete head, which answers a request with this method.
    ///
    /// # Errors
    /// Why it is not handed on.
    pub fn read(head: &[u8], lines: &mut Lines, to_head: bool) -> Result<Self, Fault> {
        let mut tokens: Tokens<'_> = [const { MaybeUninit::uninit() }; crate::MAX_LINES];
        let mut parsed = httparse::Response::new(&mut []);
        let read = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            head,
            &mut tokens,
        );
        match read {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooLarge),
            _ => return Err(Fault::Malformed),
        }
        let (Some(status @ 100..=999), Some(version)) = (parsed.code, parsed.version) else {
            return Err(Fault::Malformed);
        };
        lines.read(head, parsed.headers)?;
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let hop = HopLines::read(head, lines, version, false)?;
        let framing = framing(head, lines, version)?;
        let bodiless = matches!(status, 100..=199 | 204);
        let impossible_body =
            bodiless && !matches!(framing, Framing::Length(0) | Framing::UntilClose);
        if impossible_body {
            // They have no body, whatever they say (RFC 9112 6.3); a client that
            // believes them would take the next response for it. `Content-Length: 0`
            // misleads nobody, and stays.
            for line in lines.iter_mut() {
                if matches!(line.field, Field::ContentLength | Field::TransferEncoding) {
                    line.fate = Fate::Dropped;
                }
            }
        }
        let framing = if bodiless || to_head || status == 304 { Framing::None } else { framing };
        let status_line = status_line(head, lines);
        Ok(Self { status, version, framing, hop, status_line, impossible_body })
    }

    /// Whether another response follows to the same request (RFC 9110 15.2).
    #[must_use]
    pub fn is_informational(&self) -> bool {
        matches!(self.status, 100..=199) && self.status != 101
    }

    /// Whether the upstream's connection can be used again, as far as the response
    /// says (RFC 9112 9.3).
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        self.framing != Framing::UntilClose
            && !self.impossible_body
            && !self.hop.close
            && (self.version == Version::Http11 || self.hop.keep_alive)
    }

    /// What the client of `request` is told of its connection, and whether chunks
    /// are taken off.
    ///
    /// `keep`: the relay would keep the client's connection.
    #[must_use]
    pub fn changes(&self, request: &RequestHead, keep: bool) -> ResponseChanges<'static> {
        let old = request.version == Version::Http10;
        let unchunked = old && self.framing == Framing::Chunked;
        let keep = keep && !unchunked && self.framing != Framing::UntilClose;
        let connection = match (keep && request.keeps_alive(), old) {
            _ if self.is_informational() || self.status == 101 => None,
            (false, _) => Some(&b"close"[..]),
            (true, true) => Some(&b"keep-alive"[..]),
            (true, false) => None,
        };
        ResponseChanges { version: request.version, unchunked, rechunked: false, connection }
    }

    /// Appends the head as the client gets it.
    pub fn write(
        &self,
        head: &[u8],
        lines: &mut Lines,
        changes: &ResponseChanges<'_>,
        output: &mut Vec<u8>,
    ) {
        if changes.unchunked || changes.rechunked {
            for line in lines.of_field_mut(Field::TransferEncoding) {
                line.fate = Fate::Dropped;
            }
        }
        if changes.rechunked {
            for line in lines.of_field_mut(Field::ContentLength) {
                line.fate = Fate::Dropped;
            }
        }
        output.extend_from_slice(match changes.version {
            Version::Http10 => b"HTTP/1.0",
            Version::Http11 => b"HTTP/1.1",
        });
        output.extend_from_slice(self.status_line.of(head));
        let replacement = |field| if field == Field::Te { b"trailers" } else { self.hop.options() };
        lines.write(head, replacement, output);
        if let Some(connection) = changes.connection {
            line(b"connection", connection, output);
        }
        if changes.rechunked && !changes.unchunked {
            line(b"transfer-encoding", b"chunked", output);
        }
        output.extend_from_slice(b"\r\n");
    }
}

fn framing(head: &[u8], lines: &mut Lines, version: Version) -> Result<Framing, Fault> {
    let mut codings = lines.of_field(Field::TransferEncoding);
    if let Some(coding) = codings.next() {
        if codings.next().is_some() {
            return Err(Fault::RepeatedCoding);
        }
        if !coding.value.of(head).eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::ForeignCoding);
        }
        if version == Version::Http10 {
            return Err(Fault::CodingInHttp10);
        }
        drop(codings);
        // It counts for nothing and must not go on (RFC 9112 6.3).
        for length in lines.of_field_mut(Field::ContentLength) {
            length.fate = Fate::Dropped;
        }
        return Ok(Framing::Chunked);
    }
    drop(codings);
    let mut framing = None;
    for length in lines.of_field_mut(Field::ContentLength) {
        let told = Framing::of_length(length.value.of(head))?;
        match framing {
            None => framing = Some(told),
            Some(before) if before == told => length.fate = Fate::Dropped,
            Some(_) => return Err(Fault::RepeatedLength),
        }
    }
    Ok(framing.unwrap_or(Framing::UntilClose))
}

/// From behind the version to the first header line.
fn status_line(head: &[u8], lines: &Lines) -> Span {
    const VERSION: usize = "HTTP/1.1".len();
    let empty_lines = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    Span { start: (empty_lines + VERSION) as u32, end: lines.start() }
}
