//! The chunked coding (RFC 9112 7.1): sizes, extensions, data, trailers. Only
//! boundaries are found; one byte of state is kept between two pieces, and the
//! beginning of a trailer's name.

use crate::{Fault, Part, lines::is_token_byte};

/// Digits of the largest chunk.
const MAX_DIGITS: u8 = 15;

/// Bytes of one chunk's extensions.
const MAX_EXTENSION: u32 = 4 * 1024;

/// Bytes of all trailer lines.
const MAX_TRAILERS: u32 = 16 * 1024;

/// The longest name of a trailer that is looked at, `transfer-encoding`.
const LONGEST_NAME: usize = 17;

/// Trailers that a server may take for headers which frame or route a message, and
/// headers of one hop (RFC 9110 6.5.1).
const FORBIDDEN: [&[u8]; 11] = [
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"upgrade",
    b"expect",
    b"content-encoding",
];

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Size,
    /// Spaces behind a size, in responses.
    SizeSpace,
    /// An extension in a response: anything up to the end of the line.
    AnyExtension,
    /// The name of an extension.
    ExtensionName,
    ExtensionValue,
    Quoted,
    /// The byte behind a backslash.
    Escaped,
    /// Behind the closing quote.
    AfterQuote,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The beginning of a trailer line, or of the empty line at the end.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
}

/// Follows one chunked body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunks {
    next: Next,
    strict: bool,
    /// Digits of the size so far.
    digits: u8,
    /// Bytes of the trailer name so far; more than `LONGEST_NAME` are not counted.
    name_length: u8,
    /// Bytes of extensions of this chunk, then of trailers.
    counted: u32,
    /// Whether the part of an extension has a byte yet.
    part: bool,
    /// The size, then the bytes of it that are to come.
    left: u64,
    name: [u8; LONGEST_NAME],
}

impl Chunks {
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            next: Next::Size,
            strict,
            digits: 0,
            name_length: 0,
            counted: 0,
            part: false,
            left: 0,
            name: [0; LONGEST_NAME],
        }
    }

    /// How many of the bytes belong to the body, and whether it ends with them.
    pub(crate) fn pass(
        &mut self,
        bytes: &[u8],
        mut part: impl FnMut(Part),
    ) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        // Where the trailer section goes on in these bytes.
        let mut trailers = 0;
        while at < bytes.len() {
            match self.next {
                Next::Data => {
                    let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                    let end = at + left.min(bytes.len() - at);
                    part(Part::Data(at..end));
                    self.left -= (end - at) as u64;
                    at = end;
                    if self.left == 0 {
                        self.next = Next::DataCr;
                    }
                    continue;
                }
                Next::Size if self.digits == 0 => {
                    if let Some((size, length)) = whole_size_line(&bytes[at..]) {
                        (self.next, self.left) = (Next::Data, size);
                        at += length;
                        continue;
                    }
                    self.size(bytes[at])?;
                }
                Next::LastLf if bytes[at] == b'\n' => {
                    part(Part::Trailers(trailers..at + 1));
                    return Ok((at + 1, true));
                }
                Next::LastLf => return Err(Fault::BadTrailer),
                Next::Size | Next::SizeSpace | Next::SizeLf | Next::DataCr | Next::DataLf => {
                    self.size(bytes[at])?;
                    trailers = at + 1;
                }
                Next::TrailerStart | Next::TrailerName | Next::TrailerValue | Next::TrailerLf => {
                    self.trailer(bytes[at])?;
                }
                _ => self.extension(bytes[at])?,
            }
            at += 1;
        }
        if self.is_in_trailers() && trailers < at {
            part(Part::Trailers(trailers..at));
        }
        Ok((at, false))
    }

    fn is_in_trailers(&self) -> bool {
        matches!(
            self.next,
            Next::TrailerStart
                | Next::TrailerName
                | Next::TrailerValue
                | Next::TrailerLf
                | Next::LastLf
        )
    }

    /// A byte of the line with the size, or of the line end behind the data.
    fn size(&mut self, byte: u8) -> Result<(), Fault> {
        self.next = match (self.next, byte) {
            (Next::Size, _) if byte.is_ascii_hexdigit() => {
                self.digits += 1;
                if self.digits > MAX_DIGITS {
                    return Err(Fault::BadChunk);
                }
                self.left = self.left << 4 | u64::from(hex(byte));
                Next::Size
            }
            (Next::Size, _) if self.digits == 0 => return Err(Fault::BadChunk),
            (Next::Size | Next::SizeSpace, b'\r') => Next::SizeLf,
            (Next::Size | Next::SizeSpace, b';') => {
                (self.counted, self.part) = (0, false);
                if self.strict { Next::ExtensionName } else { Next::AnyExtension }
            }
            (Next::Size | Next::SizeSpace, b' ' | b'\t') if !self.strict => Next::SizeSpace,
            (Next::SizeLf, b'\n') if self.left == 0 => {
                self.counted = 0;
                Next::TrailerStart
            }
            (Next::SizeLf, b'\n') => Next::Data,
            (Next::DataCr, b'\r') => Next::DataLf,
            (Next::DataLf, b'\n') => {
                self.digits = 0;
                Next::Size
            }
            _ => return Err(Fault::BadChunk),
        };
        Ok(())
    }

    /// A byte of the extensions (RFC 9112 7.1.1).
    fn extension(&mut self, byte: u8) -> Result<(), Fault> {
        self.counted += 1;
        if self.counted > MAX_EXTENSION {
            return Err(Fault::BadChunk);
        }
        let part = std::mem::replace(&mut self.part, true);
        self.next = match (self.next, byte) {
            (Next::AnyExtension, b'\r') => Next::SizeLf,
            (Next::AnyExtension, _) if is_text(byte) => Next::AnyExtension,
            (Next::Quoted, b'"') => Next::AfterQuote,
            (Next::Quoted, b'\\') => Next::Escaped,
            (Next::Quoted | Next::Escaped, _) if is_text(byte) => Next::Quoted,
            (Next::ExtensionValue, b'"') if !part => Next::Quoted,
            (Next::ExtensionName | Next::ExtensionValue, _) if is_token_byte(byte) => self.next,
            (Next::ExtensionName, b'=') if part => {
                self.part = false;
                Next::ExtensionValue
            }
            (Next::ExtensionName | Next::ExtensionValue | Next::AfterQuote, b';') if part => {
                self.part = false;
                Next::ExtensionName
            }
            (Next::ExtensionName | Next::ExtensionValue | Next::AfterQuote, b'\r') if part => {
                Next::SizeLf
            }
            _ => return Err(Fault::BadChunk),
        };
        Ok(())
    }

    /// A byte of the trailer section (RFC 9112 7.1.2).
    fn trailer(&mut self, byte: u8) -> Result<(), Fault> {
        self.counted += 1;
        if self.counted > MAX_TRAILERS {
            return Err(Fault::BadTrailer);
        }
        self.next = match (self.next, byte) {
            (Next::TrailerStart, b'\r') => Next::LastLf,
            (Next::TrailerStart | Next::TrailerName, _) if is_token_byte(byte) => {
                if self.next == Next::TrailerStart {
                    self.name_length = 0;
                }
                self.name_byte(byte);
                Next::TrailerName
            }
            (Next::TrailerName, b':') if !self.is_forbidden() => Next::TrailerValue,
            (Next::TrailerValue, b'\r') => Next::TrailerLf,
            (Next::TrailerValue, _) if is_text(byte) => Next::TrailerValue,
            (Next::TrailerLf, b'\n') => Next::TrailerStart,
            _ => return Err(Fault::BadTrailer),
        };
        Ok(())
    }

    fn name_byte(&mut self, byte: u8) {
        let length = usize::from(self.name_length);
        if let Some(place) = self.name.get_mut(length) {
            // Some servers read "_" as "-".
            *place = if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        }
        self.name_length = self.name_length.saturating_add(1);
    }

    fn is_forbidden(&self) -> bool {
        let name = self.name.get(..usize::from(self.name_length));
        name.is_some_and(|name| FORBIDDEN.contains(&name))
    }
}

/// The usual line: a size that is not 0, without extensions, and all there. Gives
/// the size and the line's length.
fn whole_size_line(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut size = 0;
    for (at, byte) in bytes.iter().enumerate().take(usize::from(MAX_DIGITS) + 1) {
        if byte.is_ascii_hexdigit() && at < usize::from(MAX_DIGITS) {
            size = size << 4 | u64::from(hex(*byte));
        } else {
            let ends = bytes.get(at..at + 2) == Some(b"\r\n");
            return (ends && size > 0).then_some((size, at + 2));
        }
    }
    None
}

/// Value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Whether a quoted string or a header's value may have this byte.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=0x7e | 0x80..)
}
