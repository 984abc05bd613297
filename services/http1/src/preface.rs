//! How a client says that it speaks HTTP/2 without being asked (RFC 9113 3.4).

/// The first bytes of such a connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preface {
    /// HTTP/2.
    Http2,
    /// Not HTTP/2.
    Other,
    /// More bytes are needed to tell.
    Unsure,
}

/// Whether a connection that begins with `bytes` speaks HTTP/2.
#[must_use]
pub fn preface(bytes: &[u8]) -> Preface {
    if bytes.starts_with(PREFACE) {
        Preface::Http2
    } else if PREFACE.starts_with(bytes) {
        Preface::Unsure
    } else {
        Preface::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_known_when_it_is_complete_or_impossible() {
        assert_eq!(preface(b""), Preface::Unsure);
        assert_eq!(preface(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), Preface::Unsure);
        assert_eq!(preface(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"), Preface::Http2);
        assert_eq!(preface(b"POST / HTTP/1.1\r\n"), Preface::Other);
        assert_eq!(preface(b"PRI * HTTP/1.1\r\n"), Preface::Other);
    }
}
