//! AWS event stream (spec 3.4): length-prefixed frames with two checksums. A
//! frame is held until its checksum is known to be right; a longer one than the
//! limit is passed over.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json::{Scanner, Shape, Slots};
use crate::limits::Limits;
use crate::reader::Reader;
use crate::wire::{Framing, value};

/// Lengths and their checksum.
const PRELUDE: usize = 12;
/// Prelude and checksum of the message: the shortest frame.
const SHORTEST: usize = PRELUDE + 4;

/// Cuts a body into frames.
#[derive(Debug)]
pub(crate) struct Aws {
    frame: Vec<u8>,
    /// Bytes of a frame beyond the limit that are still to pass.
    skip: usize,
    failed: bool,
    wrapped: Option<Wrapped>,
}

impl Aws {
    pub(crate) fn new(framing: Framing, limits: &Limits) -> Self {
        let wrapped = (framing == Framing::Wrapped).then(|| Wrapped::new(limits));
        Self { frame: Vec::new(), skip: 0, failed: false, wrapped }
    }

    /// A piece of the body that begins at a decoded offset.
    pub(crate) fn push(&mut self, bytes: &[u8], offset: u64, at: Duration, reader: &mut Reader) {
        let mut next = 0;
        while next < bytes.len() && !self.failed {
            let rest = &bytes[next..];
            if self.skip > 0 {
                let passed = self.skip.min(rest.len());
                self.skip -= passed;
                next += passed;
                continue;
            }
            let wanted = match self.wanted(reader.limits.frame_bytes) {
                Ok(wanted) => wanted - self.frame.len(),
                Err(Beyond::Limit(total)) => {
                    reader.unread = true;
                    self.skip = total - self.frame.len();
                    self.frame.clear();
                    continue;
                }
                Err(Beyond::Repair) => return self.fail(reader),
            };
            let taken = wanted.min(rest.len());
            self.frame.extend_from_slice(&rest[..taken]);
            next += taken;
            if taken == wanted && self.frame.len() > PRELUDE {
                let frame = std::mem::take(&mut self.frame);
                if self.frame(&frame, offset + next as u64, at, reader).is_none() {
                    return self.fail(reader);
                }
                self.frame = frame;
                self.frame.clear();
            }
        }
    }

    fn fail(&mut self, reader: &mut Reader) {
        self.failed = true;
        reader.unread = true;
        self.frame = Vec::new();
    }

    /// Length that the frame must reach before it can be judged.
    fn wanted(&self, limit: usize) -> Result<usize, Beyond> {
        let Some(prelude) = self.frame.first_chunk::<PRELUDE>() else { return Ok(PRELUDE) };
        let total = word(prelude, 0) as usize;
        let headers = word(prelude, 4) as usize;
        let sound = crc(&prelude[..8]) == word(prelude, 8);
        if !sound || total < SHORTEST || headers > total - SHORTEST {
            return Err(Beyond::Repair);
        }
        if total > limit { Err(Beyond::Limit(total)) } else { Ok(total) }
    }

    /// A whole frame; `None` if its checksum or its headers are wrong.
    fn frame(
        &mut self,
        frame: &[u8],
        offset: u64,
        at: Duration,
        reader: &mut Reader,
    ) -> Option<()> {
        let (body, sum) = frame.split_last_chunk::<4>()?;
        if crc(body) != u32::from_be_bytes(*sum) {
            return None;
        }
        let headers_end = PRELUDE + word(frame, 4) as usize;
        let headers = parse_headers(frame.get(PRELUDE..headers_end)?)?;
        let payload = body.get(headers_end..)?;
        match headers.message_type {
            b"exception" => reader.record.fail(Some(headers.exception_type)),
            b"error" => reader.record.fail(Some(headers.error_code)),
            _ => {
                match &mut self.wrapped {
                    Some(wrapped) => wrapped.feed(payload, reader),
                    None => reader.feed(payload),
                }
                reader.end_event(headers.event_type, at, offset);
            }
        }
        Some(())
    }

    /// The body has ended. Returns whether a frame is cut or the framing was lost.
    pub(crate) fn finish(&self) -> bool {
        self.failed || self.skip > 0 || !self.frame.is_empty()
    }
}

enum Beyond {
    /// The frame is longer than the limit.
    Limit(usize),
    /// Where the next frame begins is not known any more.
    Repair,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |four| u32::from_be_bytes(*four))
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The headers that matter.
#[derive(Default)]
struct FrameHeaders<'a> {
    message_type: &'a [u8],
    event_type: &'a [u8],
    exception_type: &'a [u8],
    error_code: &'a [u8],
}

fn parse_headers(mut bytes: &[u8]) -> Option<FrameHeaders<'_>> {
    let mut headers = FrameHeaders::default();
    while let Some((name_len, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*name_len))?;
        let (kind, rest) = rest.split_first()?;
        let (length, rest) = match kind {
            0 | 1 => (0, rest),
            2 => (1, rest),
            3 => (2, rest),
            4 => (4, rest),
            5 | 8 => (8, rest),
            6 | 7 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            9 => (16, rest),
            _ => return None,
        };
        let (text, rest) = rest.split_at_checked(length)?;
        match name {
            b":message-type" => headers.message_type = text,
            b":event-type" => headers.event_type = text,
            b":exception-type" => headers.exception_type = text,
            b":error-code" => headers.error_code = text,
            _ => {}
        }
        bytes = rest;
    }
    Some(headers)
}

/// Payloads that hold the event in base64: `{"bytes":"..."}` (spec 9.2).
#[derive(Debug)]
struct Wrapped {
    shape: Shape,
    scanner: Scanner,
    slots: Slots,
    decoded: Vec<u8>,
}

impl Wrapped {
    fn new(limits: &Limits) -> Self {
        let limits = Limits { value_bytes: limits.frame_bytes, ..*limits };
        let shape = Shape::new(&[value("bytes")]);
        let slots = Slots::new(shape.slots());
        Self { shape, scanner: Scanner::new(&limits), slots, decoded: Vec::new() }
    }

    fn feed(&mut self, payload: &[u8], reader: &mut Reader) {
        self.scanner.reset();
        self.slots.reset();
        let whole = self.scanner.feed(payload, &self.shape, &mut self.slots).is_ok()
            && self.scanner.is_done();
        self.decoded.clear();
        let decoded = self
            .slots
            .text(0)
            .filter(|_| whole)
            .is_some_and(|text| STANDARD.decode_vec(text, &mut self.decoded).is_ok());
        if decoded {
            reader.feed(&self.decoded);
        } else {
            // Not JSON: the event will be dropped.
            reader.feed(b"?");
        }
    }
}
