//! Looks at HTTP/1.1 requests before hyper does, and refuses what two servers may
//! read in two ways (request smuggling, RFC 9112 11.2). hyper reads such requests
//! safely and repairs them on the way; whoever stands before modash may have read
//! them otherwise, so nobody should go on with them.
//!
//! It has to know where each request ends, so it follows the lengths of bodies
//! too. Where it cannot, after a broken chunk, it looks no further: hyper refuses
//! that. A request that asks for an upgrade is like any other: only when an upstream
//! has answered 101 are the bytes no requests any more (`leave_http`).

use memchr::memchr;

use crate::error::BadHead;

/// Longest request line.
const MAX_REQUEST_LINE: usize = 32 * 1024;

/// Longest other line that is looked at; hyper's limit for a head is reached
/// before it.
const MAX_LINE: usize = super::MAX_BUFFER;

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Guard {
    next: Next,
    /// The beginning of a line that is not complete.
    held: Vec<u8>,
    head: Head,
    requests: u64,
}

/// What the next byte belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Next {
    #[default]
    RequestLine,
    Header,
    /// This many bytes, then a request line.
    Body(u64),
    /// This many bytes, then the line with the size of a chunk.
    Chunk(u64),
    Trailer,
    /// Bytes that are not looked at.
    Unknown,
    /// HTTP/2, which is not looked at either.
    Http2,
}

/// What a head has said so far.
#[derive(Debug, Default)]
struct Head {
    http10: bool,
    hosts: usize,
    lengths: usize,
    length: Option<u64>,
    codings: usize,
    chunked: bool,
}

impl Guard {
    /// Requests that have begun, as far as it looked.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Whether the connection speaks HTTP/2 (RFC 9113 3.4).
    pub(super) fn is_http2(&self) -> bool {
        self.next == Next::Http2
    }

    /// Whether there is more to come of a request's body.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.next, Next::Body(1..) | Next::Chunk(_) | Next::Trailer)
    }

    /// The connection has left HTTP: what follows is not looked at.
    pub(super) fn leave_http(&mut self) {
        self.next = Next::Unknown;
        self.held = Vec::new();
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// The place of the byte that makes it a request to refuse, and why.
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<(), (usize, BadHead)> {
        let mut rest = bytes;
        while let [first, ..] = rest {
            match &mut self.next {
                Next::Unknown | Next::Http2 => break,
                Next::Body(left) | Next::Chunk(left) if *left > 0 => {
                    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= skipped as u64;
                    rest = &rest[skipped..];
                    continue;
                }
                Next::Body(_) => self.next = Next::RequestLine,
                _ => {}
            }
            // Empty lines may come before a request (RFC 9112 2.2).
            let begins = self.next == Next::RequestLine && self.held.is_empty();
            if begins && !matches!(first, b'\r' | b'\n') {
                self.requests += 1;
            }
            let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let (line, behind) = rest.split_at(end);
            rest = behind;
            let last = bytes.len() - rest.len() - 1;
            self.part_of_line(line).map_err(|fault| (last, fault))?;
        }
        Ok(())
    }

    /// A line, or as much of it as came.
    fn part_of_line(&mut self, part: &[u8]) -> Result<(), BadHead> {
        let length = self.held.len() + part.len();
        if self.next == Next::RequestLine && length > MAX_REQUEST_LINE {
            return Err(BadHead::LongTarget);
        }
        let complete = part.ends_with(b"\n");
        if complete && self.held.is_empty() {
            return self.line(part);
        }
        if length > MAX_LINE {
            self.next = Next::Unknown;
            self.held = Vec::new();
            return Ok(());
        }
        self.held.extend_from_slice(part);
        if !complete {
            return Ok(());
        }
        let line = std::mem::take(&mut self.held);
        self.line(&line)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), BadHead> {
        match self.next {
            Next::Chunk(_) => self.next = after_chunk_size(line),
            Next::Trailer if line == b"\r\n" => self.next = Next::RequestLine,
            Next::Trailer => {}
            Next::RequestLine => self.request_line(line)?,
            _ if line == b"\r\n" => self.next = std::mem::take(&mut self.head).end()?,
            _ => self.head.header(line)?,
        }
        Ok(())
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), BadHead> {
        if !line.ends_with(b"\r\n") {
            return Err(BadHead::BareLineFeed);
        }
        match line {
            b"\r\n" => {}
            b"PRI * HTTP/2.0\r\n" if self.requests == 1 => self.next = Next::Http2,
            _ => {
                self.head.http10 = line.ends_with(b" HTTP/1.0\r\n");
                if !self.head.http10 && !line.ends_with(b" HTTP/1.1\r\n") {
                    self.next = Next::Unknown;
                    return Ok(());
                }
                self.next = Next::Header;
            }
        }
        Ok(())
    }
}

impl Head {
    fn header(&mut self, line: &[u8]) -> Result<(), BadHead> {
        if !line.ends_with(b"\r\n") {
            return Err(BadHead::BareLineFeed);
        }
        if matches!(line[0], b' ' | b'\t') {
            return Err(BadHead::FoldedHeader);
        }
        // hyper refuses a space before the colon.
        match line[0].to_ascii_lowercase() {
            b'h' if value_of(line, b"host:").is_some() => self.hosts += 1,
            b'c' => {
                if let Some(value) = value_of(line, b"content-length:") {
                    self.lengths += 1;
                    self.length = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                }
            }
            b't' => {
                if let Some(value) = value_of(line, b"transfer-encoding:") {
                    self.codings += 1;
                    // The last one says where the body ends (RFC 9112 6.3).
                    let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                    self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What comes behind it.
    fn end(self) -> Result<Next, BadHead> {
        let next = match self {
            Self { lengths: 1.., codings: 1.., .. } => return Err(BadHead::TwoFramings),
            Self { lengths: 2.., .. } => return Err(BadHead::RepeatedLength),
            Self { codings: 2.., .. } => return Err(BadHead::RepeatedCoding),
            Self { hosts: 2.., .. } => return Err(BadHead::RepeatedHost),
            Self { hosts: 0, http10: false, .. } => return Err(BadHead::NoHost),
            Self { codings: 1, chunked: true, .. } => Next::Chunk(0),
            Self { codings: 0, lengths: 0, .. } => Next::RequestLine,
            Self { length: Some(length), .. } => Next::Body(length),
            _ => Next::Unknown,
        };
        Ok(next)
    }
}

/// The value of a header line, if it is this header.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (begin, value) = line.split_at_checked(name.len())?;
    begin.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// What comes behind the line with a chunk's size (RFC 9112 7.1).
fn after_chunk_size(line: &[u8]) -> Next {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = str::from_utf8(&line[..digits]).ok();
    match size.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        Some(0) => Next::Trailer,
        // The data, and the end of its line.
        Some(size) if line.ends_with(b"\r\n") => Next::Chunk(size.saturating_add(2)),
        _ => Next::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it says, however the bytes are cut.
    fn check(bytes: &str) -> Result<Guard, BadHead> {
        let checked = |size: usize| {
            let mut guard = Guard::default();
            let checked = bytes.as_bytes().chunks(size).try_for_each(|piece| guard.check(piece));
            checked.map(|()| guard).map_err(|(_, fault)| fault)
        };
        let whole = checked(bytes.len().max(1));
        for size in [1, 2, 3, 7, 20] {
            let cut = checked(size);
            match (&whole, &cut) {
                (Ok(whole), Ok(cut)) => assert_eq!(
                    (whole.next, whole.requests, &whole.held),
                    (cut.next, cut.requests, &cut.held),
                    "{bytes:?} cut into {size}"
                ),
                (Err(whole), Err(cut)) => assert_eq!(whole, cut, "{bytes:?} cut into {size}"),
                _ => panic!("{bytes:?} cut into {size}: {whole:?} and {cut:?}"),
            }
        }
        whole
    }

    #[test]
    fn requests_in_a_row_are_followed_to_their_ends() {
        for (bytes, next, requests) in [
            ("", Next::RequestLine, 0),
            ("\r\n\r\n", Next::RequestLine, 0),
            ("GET / HTT", Next::RequestLine, 1),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Next::RequestLine, 1),
            ("GET / HTTP/1.0\r\n\r\n", Next::RequestLine, 1),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nab", Next::Body(1), 1),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\nGET / HTTP/1.1\r\nH",
                Next::Header,
                2,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n\
                 3;x=y\r\na\nb\r\n0\r\nT: x\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
                Next::RequestLine,
                2,
            ),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\n", Next::Http2, 1),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n",
                Next::RequestLine,
                2,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n\
                 1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
                Next::RequestLine,
                2,
            ),
        ] {
            let guard = check(bytes).unwrap();
            assert_eq!((guard.next, guard.requests), (next, requests), "{bytes:?}");
        }
    }

    #[test]
    fn what_two_servers_may_read_in_two_ways_is_a_fault() {
        const LENGTH: &str = "Content-Length: 3\r\n";
        const CODING: &str = "Transfer-Encoding: chunked\r\n";
        const HOST: &str = "Host: a\r\n";
        for (headers, fault) in [
            ([HOST, LENGTH, CODING], BadHead::TwoFramings),
            ([CODING, LENGTH, HOST], BadHead::TwoFramings),
            ([HOST, LENGTH, LENGTH], BadHead::RepeatedLength),
            ([HOST, CODING, CODING], BadHead::RepeatedCoding),
            ([HOST, "X: y\r\n", HOST], BadHead::RepeatedHost),
            ([LENGTH, "X: y\r\n", "Hosts: a\r\n"], BadHead::NoHost),
            ([HOST, "X: y\r\n", " z\r\n"], BadHead::FoldedHeader),
            ([HOST, "X: y\n", LENGTH], BadHead::BareLineFeed),
        ] {
            let bytes = format!("POST / HTTP/1.1\r\n{}\r\nabc", headers.concat());
            assert_eq!(check(&bytes).err(), Some(fault), "{bytes:?}");
            let second = format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{bytes}");
            assert_eq!(check(&second).err(), Some(fault), "{second:?}");
        }
        assert_eq!(check("GET / HTTP/1.1\nHost: a\n\n").err(), Some(BadHead::BareLineFeed));
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_REQUEST_LINE));
        assert_eq!(check(&long).err(), Some(BadHead::LongTarget));
    }

    #[test]
    fn the_place_of_a_fault_is_the_end_of_the_line_with_it() {
        let bytes = b"GET / HTTP/1.1\r\nX: y\r\n\r\nGET";
        assert_eq!(Guard::default().check(bytes), Err((bytes.len() - 4, BadHead::NoHost)));
    }

    #[test]
    fn a_line_without_end_is_not_held_forever() {
        let mut guard = Guard::default();
        guard.check(b"GET / HTTP/1.1\r\n").unwrap();
        for _ in 0..100 {
            guard.check(&[b'a'; 1024]).unwrap();
        }
        assert!(guard.held.capacity() <= 2 * MAX_LINE);
    }
}
