//! Where a body ends (RFC 9112 6). The bytes are walked over, not changed: what
//! passes is the framing as it came.

use std::ops::Range;

use crate::{Fault, chunks::Chunks};

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks, with trailers behind them.
    Chunked,
    /// Until the connection ends; responses only.
    UntilClose,
}

impl Framing {
    /// Digits of the largest length: servers hold it in 63 bits, some in 53.
    const MAX_DIGITS: usize = 18;

    /// What a `Content-Length` says.
    pub(crate) fn of_length(value: &[u8]) -> Result<Self, Fault> {
        if value.is_empty()
            || value.len() > Self::MAX_DIGITS
            || !value.iter().all(u8::is_ascii_digit)
        {
            return Err(Fault::BadLength);
        }
        let digit = |number: u64, digit: &u8| number * 10 + u64::from(digit - b'0');
        Ok(Self::Length(value.iter().fold(0, digit)))
    }
}

/// A part of a body, as a place in the bytes that were shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Data, without its framing.
    Data(Range<usize>),
    /// A piece of the trailer section of a chunked body, the empty line at its end
    /// included.
    Trailers(Range<usize>),
}

/// Follows one body to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(State);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    Ended,
}

impl Body {
    /// A body that begins behind its head. Chunks of requests are judged more
    /// strictly: extensions by their grammar, no spaces behind a size.
    #[must_use]
    pub fn new(framing: Framing, of_request: bool) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunks::new(of_request)),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// Whether all of it has passed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0 == State::Ended
    }

    /// Whether some of it was shown or is to come only with the connection's end.
    #[must_use]
    pub fn ends_with_connection(&self) -> bool {
        self.0 == State::UntilClose
    }

    /// Bytes that are still due, if that is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            State::Ended => Some(0),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// Walks over the next bytes of the connection. Returns how many of them belong
    /// to the body, framing included, and shows where in `bytes` data is.
    ///
    /// # Errors
    /// What is wrong with a chunk or a trailer. What was shown before it is data.
    pub fn pass(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(Range<usize>),
    ) -> Result<usize, Fault> {
        self.pass_parts(bytes, |part| {
            if let Part::Data(range) = part {
                data(range);
            }
        })
    }

    /// The same as [`pass`](Self::pass), and shows the trailers too.
    ///
    /// # Errors
    /// The same.
    pub fn pass_parts(&mut self, bytes: &[u8], mut part: impl FnMut(Part)) -> Result<usize, Fault> {
        match &mut self.0 {
            State::Ended => Ok(0),
            State::UntilClose => {
                if !bytes.is_empty() {
                    part(Part::Data(0..bytes.len()));
                }
                Ok(bytes.len())
            }
            State::Length(left) => {
                let passed = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= passed as u64;
                if *left == 0 {
                    self.0 = State::Ended;
                }
                if passed > 0 {
                    part(Part::Data(0..passed));
                }
                Ok(passed)
            }
            State::Chunked(chunks) => {
                let (passed, ended) = chunks.pass(bytes, part)?;
                if ended {
                    self.0 = State::Ended;
                }
                Ok(passed)
            }
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// The body needed more bytes.
    pub fn connection_ended(&mut self) -> Result<(), Fault> {
        match self.0 {
            State::Ended | State::UntilClose => {
                self.0 = State::Ended;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(Fault::Incomplete),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_decimal_digits_and_nothing_else() {
        for bad in ["", "+6", "-1", "0x6", "6 ", "6, 6", "6;", "1e3", "1234567890123456789"] {
            assert_eq!(Framing::of_length(bad.as_bytes()), Err(Fault::BadLength), "{bad:?}");
        }
        assert_eq!(Framing::of_length(b"006"), Ok(Framing::Length(6)));
        assert_eq!(
            Framing::of_length(b"999999999999999999"),
            Ok(Framing::Length(10_u64.pow(18) - 1))
        );
    }

    #[test]
    fn a_body_with_a_length_ends_with_its_last_byte() {
        let mut body = Body::new(Framing::Length(5), true);
        let mut shown = Vec::new();
        assert_eq!(body.pass(b"abc", |range| shown.push(range)), Ok(3));
        assert_eq!((body.left(), body.connection_ended()), (Some(2), Err(Fault::Incomplete)));
        assert_eq!(body.pass(b"deGET", |range| shown.push(range)), Ok(2));
        assert!(body.has_ended());
        assert_eq!(body.pass(b"GET", |_| panic!("it is no data")), Ok(0));
        assert_eq!(shown, [0..3, 0..2]);
    }

    #[test]
    fn the_trailer_section_is_shown_however_it_is_cut() {
        let wire = b"3;x=y\r\nabc\r\n0\r\na: 1\r\nb: 2\r\n\r\nGET";
        for size in 1..=wire.len() {
            let mut body = Body::new(Framing::Chunked, true);
            let (mut data, mut trailers) = (Vec::new(), Vec::new());
            for piece in wire.chunks(size) {
                let passed = body.pass_parts(piece, |part| match part {
                    Part::Data(range) => data.extend_from_slice(&piece[range]),
                    Part::Trailers(range) => trailers.extend_from_slice(&piece[range]),
                });
                passed.unwrap();
            }
            assert!(body.has_ended());
            assert_eq!(data, b"abc", "cut into pieces of {size}");
            assert_eq!(trailers, b"a: 1\r\nb: 2\r\n\r\n", "cut into pieces of {size}");
        }
    }

    #[test]
    fn a_body_without_an_end_ends_with_its_connection() {
        let mut body = Body::new(Framing::UntilClose, false);
        assert_eq!(body.pass(b"abc", |_| ()), Ok(3));
        assert!(!body.has_ended());
        assert_eq!(body.connection_ended(), Ok(()));
        assert!(body.has_ended());
    }
}
