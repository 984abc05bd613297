//! Why a message is not taken.

use std::fmt;

/// What is wrong with a head or with the framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A line ends without CR (RFC 9112 2.2).
    BareLineFeed,
    /// A header line continues in the next line (RFC 9112 5.2).
    FoldedHeader,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112 6.3).
    TwoFramings,
    /// `Content-Length` more than once (RFC 9110 8.6).
    RepeatedLength,
    /// `Content-Length` is not a number of at most 18 digits.
    BadLength,
    /// `Transfer-Encoding` more than once.
    RepeatedCoding,
    /// The last transfer coding is not `chunked` (RFC 9112 6.3).
    BadCoding,
    /// A transfer coding besides `chunked`, which nobody here can take off.
    ForeignCoding,
    /// `Transfer-Encoding` in HTTP/1.0, which has none (RFC 9112 6.1).
    CodingInHttp10,
    /// No `Host` (RFC 9112 3.2).
    NoHost,
    /// `Host` more than once (RFC 9112 3.2).
    RepeatedHost,
    /// `Host` is not a host with an optional port (RFC 9112 3.2).
    BadHost,
    /// `Connection` names a header that is not of one hop (RFC 9110 7.6.1).
    HiddenHeader,
    /// A header's name differs from one that frames the body only by `_`, which
    /// some servers read as `-`.
    LikeFraming,
    /// The target has a fragment, which some servers cut off (RFC 9112 3.2.1).
    Fragment,
    /// The target is neither a path, nor a URL, nor `*`, nor `host:port`.
    BadTarget,
    /// The request line is longer than [`MAX_REQUEST_LINE`](crate::MAX_REQUEST_LINE).
    LongTarget,
    /// The head is larger than [`MAX_HEAD`](crate::MAX_HEAD) or has more lines than
    /// [`MAX_LINES`](crate::MAX_LINES).
    TooLarge,
    /// A TLS handshake where HTTP is spoken.
    TlsHandshake,
    /// Anything else that is not HTTP/1.0 or HTTP/1.1.
    Malformed,
    /// A chunk without a valid size, extension or end (RFC 9112 7.1).
    BadChunk,
    /// A trailer line that is malformed or too long, or frames a message
    /// (RFC 9110 6.5.1).
    BadTrailer,
    /// The connection ended before the body did.
    Incomplete,
}

impl Fault {
    /// Status with which a server refuses the request.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::LongTarget => 414,
            Self::TooLarge => 431,
            Self::ForeignCoding => 501,
            _ => 400,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BareLineFeed => "a line of the head ends without CR: end lines with CRLF",
            Self::FoldedHeader => "a header continues in the next line: write it in one line",
            Self::TwoFramings => "both content-length and transfer-encoding: send one of them",
            Self::RepeatedLength => "content-length more than once: send it once",
            Self::BadLength => "the content-length is not valid: send one decimal number",
            Self::RepeatedCoding => "transfer-encoding more than once: send it once",
            Self::BadCoding => "the transfer-encoding is not valid: send chunked",
            Self::ForeignCoding => {
                "no transfer coding besides chunked is forwarded: \
                 compress with content-encoding instead"
            }
            Self::CodingInHttp10 => "transfer-encoding in HTTP/1.0: send HTTP/1.1",
            Self::NoHost => "no host header, which HTTP/1.1 requires",
            Self::RepeatedHost => "host more than once: send it once",
            Self::BadHost => "the host header is not valid: send a host with an optional port",
            Self::HiddenHeader => {
                "the connection header names a header that frames or routes the message"
            }
            Self::LikeFraming => {
                "a header is named like content-length or transfer-encoding, but with \"_\""
            }
            Self::Fragment => "the target has a fragment: leave out \"#\" and what follows it",
            Self::BadTarget => "the request target is not valid: begin it with \"/\"",
            Self::LongTarget => "the request line is longer than 32 KiB: send the text as a body",
            Self::TooLarge => "the head is larger than 80 KiB or has more than 100 headers",
            Self::TlsHandshake => {
                "this port speaks HTTP without TLS: begin the base URL with http://"
            }
            Self::Malformed => "the head is not valid HTTP/1.1",
            Self::BadChunk => "a chunk of the body is not valid",
            Self::BadTrailer => "a trailer of the body is not valid",
            Self::Incomplete => "the body ended before its time",
        })
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_its_status() {
        assert_eq!(Fault::LongTarget.status(), 414);
        assert_eq!(Fault::TooLarge.status(), 431);
        assert_eq!(Fault::ForeignCoding.status(), 501);
        assert_eq!(Fault::BadChunk.status(), 400);
    }
}
