//! Where a head ends. Bytes that were scanned are not scanned again, so a head that
//! comes byte by byte costs no more than one that comes at once.

use memchr::memchr;

use crate::{Fault, MAX_HEAD, MAX_LINES, MAX_REQUEST_LINE, lines::is_token_byte};

/// How far a head was scanned. The caller keeps the head's bytes together and
/// presents them from the head's first byte each time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadScan {
    /// Bytes that hold no further line end.
    scanned: usize,
    /// Where the line begins that is not complete.
    line: usize,
    /// Complete lines before it.
    lines: usize,
}

impl HeadScan {
    /// Length of the head that begins with `bytes`, its empty line included; `None`
    /// until all of it has come. Empty lines before the first line belong to it
    /// (RFC 9112 2.2).
    ///
    /// # Errors
    /// What is wrong with it, as soon as the line with the fault is complete or too
    /// long; the same wherever the bytes were cut.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        while let Some(end) = self.next_line_end(bytes)? {
            let line = &bytes[self.line..end];
            if !line.ends_with(b"\r\n") {
                return Err(Fault::BareLineFeed);
            }
            match line {
                b"\r\n" if self.lines > 0 => return Ok(Some(end)),
                b"\r\n" => {}
                [b' ' | b'\t', ..] => return Err(Fault::FoldedHeader),
                _ => self.lines += 1,
            }
            (self.scanned, self.line) = (end, end);
            if self.lines > MAX_LINES + 1 {
                return Err(Fault::TooLarge);
            }
        }
        self.scanned = bytes.len();
        Ok(None)
    }

    /// Where the line ends that begins at `self.line`.
    fn next_line_end(&self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        if self.lines == 0 {
            refuse_no_token(bytes.get(self.line).copied())?;
        }
        let end = memchr(b'\n', &bytes[self.scanned..]).map(|found| self.scanned + found + 1);
        self.is_within_limits(end.unwrap_or(bytes.len()))?;
        Ok(end)
    }

    /// Whether the line that begins at `self.line` may go on until here.
    fn is_within_limits(&self, end: usize) -> Result<(), Fault> {
        if self.lines == 0 && end - self.line > MAX_REQUEST_LINE {
            return Err(Fault::LongTarget);
        }
        if end > MAX_HEAD {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }
}

/// A method and a version begin with a token. What begins otherwise is not waited
/// for: a TLS handshake has no line ends.
fn refuse_no_token(first: Option<u8>) -> Result<(), Fault> {
    match first {
        None | Some(b'\r' | b'\n') => Ok(()),
        Some(0x16) => Err(Fault::TlsHandshake),
        Some(byte) if is_token_byte(byte) => Ok(()),
        Some(_) => Err(Fault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same result however the bytes are cut.
    fn end(bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let whole = HeadScan::default().end(bytes);
        for size in [1, 2, 3, 7, 20, 1000] {
            let mut scan = HeadScan::default();
            let cuts = (size..bytes.len()).step_by(size).chain([bytes.len()]);
            let cut = cuts.map(|cut| scan.end(&bytes[..cut])).find(|end| *end != Ok(None));
            assert_eq!(cut.unwrap_or(Ok(None)), whole, "cut into pieces of {size}");
        }
        whole
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        assert_eq!(end(b""), Ok(None));
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
        assert_eq!(end(b"GET / HTTP/1.1\r\n\r\nGET"), Ok(Some(18)));
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n"), Ok(Some(27)));
    }

    #[test]
    fn lines_without_cr_and_folded_lines_are_refused_when_they_end() {
        assert_eq!(end(b"GET / HTTP/1.1\nHost"), Err(Fault::BareLineFeed));
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\n"), Err(Fault::BareLineFeed));
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n\n"), Err(Fault::BareLineFeed));
        assert_eq!(end(b"GET / HTTP/1.1\r\nX: a\r\n b\r\n"), Err(Fault::FoldedHeader));
        assert_eq!(end(b"GET / HTTP/1.1\r\n\tHost: a\r\n"), Err(Fault::FoldedHeader));
    }

    #[test]
    fn heads_without_end_are_refused_at_their_limits() {
        let long = vec![b'a'; MAX_REQUEST_LINE + 1];
        assert_eq!(end(&long), Err(Fault::LongTarget));
        let mut large = b"GET / HTTP/1.1\r\nX: ".to_vec();
        large.resize(MAX_HEAD, b'a');
        assert_eq!(end(&large), Ok(None));
        large.push(b'a');
        assert_eq!(end(&large), Err(Fault::TooLarge));
        let most = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(MAX_LINES));
        assert_eq!(end(most.as_bytes()), Ok(None));
        assert_eq!(end(format!("{most}\r\n").as_bytes()), Ok(Some(most.len() + 2)));
        assert_eq!(end(format!("{most}X: y\r\n").as_bytes()), Err(Fault::TooLarge));
    }

    #[test]
    fn what_begins_with_no_token_is_refused_at_once() {
        assert_eq!(end(b"\x16\x03\x01"), Err(Fault::TlsHandshake));
        assert_eq!(end(b"\0"), Err(Fault::Malformed));
        assert_eq!(end(b"{\"model\":"), Err(Fault::Malformed));
    }

    #[test]
    fn empty_lines_before_the_first_line_are_skipped() {
        assert_eq!(end(b"\r\n\r\n"), Ok(None));
        assert_eq!(end(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Some(22)));
        assert_eq!(end(b"\n"), Err(Fault::BareLineFeed));
        assert_eq!(end(b"\r\n\0"), Err(Fault::Malformed));
    }
}
