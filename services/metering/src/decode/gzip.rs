//! gzip (RFC 1952), member after member, and deflate with or without the zlib
//! wrapper.

use flate2::{Crc, Decompress};

use crate::decode::{Next, Undecodable, inflate};

const FIXED: usize = 10;
const TRAILER: usize = 8;
const HAS_CRC: u8 = 0x02;
const HAS_EXTRA: u8 = 0x04;
const HAS_NAME: u8 = 0x08;
const HAS_COMMENT: u8 = 0x10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes of the fixed header so far.
    Header(usize),
    /// Bytes of the length of the extra field so far, and the length.
    ExtraLength(usize, u16),
    /// Bytes of the extra field left.
    Extra(u16),
    Name,
    Comment,
    /// Bytes of the header checksum left.
    HeaderCrc(usize),
    Body,
    /// Bytes of the trailer so far.
    Trailer(usize),
    /// What follows the last member is not a member.
    Padding,
}

/// Undoes gzip.
#[derive(Debug)]
pub(super) struct Gzip {
    state: State,
    held: [u8; FIXED],
    members: u64,
    crc: Crc,
    inflate: Box<Decompress>,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            state: State::Header(0),
            held: [0; FIXED],
            members: 0,
            crc: Crc::new(),
            inflate: Box::new(Decompress::new(false)),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], next: &mut Next<'_>) -> Result<(), Undecodable> {
        let mut at = 0;
        while at < bytes.len() {
            if self.state == State::Body {
                let crc = &mut self.crc;
                let (used, ended) = inflate(&mut self.inflate, &bytes[at..], &mut |decoded| {
                    crc.update(decoded);
                    next(decoded)
                })?;
                at += used;
                if ended {
                    self.state = State::Trailer(0);
                } else if used == 0 {
                    return Err(Undecodable);
                }
                continue;
            }
            if self.state == State::Padding {
                return Ok(());
            }
            self.state = self.head(bytes[at])?;
            at += 1;
        }
        Ok(())
    }

    /// One byte outside the compressed data.
    fn head(&mut self, byte: u8) -> Result<State, Undecodable> {
        Ok(match self.state {
            State::Header(read) => {
                let sound = match read {
                    0 => byte == 0x1f,
                    1 => byte == 0x8b,
                    2 => byte == 8,
                    3 => byte & 0xe0 == 0,
                    _ => true,
                };
                if !sound {
                    // Zeros or anything else may follow the last member.
                    return if read == 0 && self.members > 0 {
                        Ok(State::Padding)
                    } else {
                        Err(Undecodable)
                    };
                }
                self.held[read] = byte;
                if read + 1 < FIXED { State::Header(read + 1) } else { self.after(0) }
            }
            State::ExtraLength(0, _) => State::ExtraLength(1, u16::from(byte)),
            State::ExtraLength(_, low) => match low | u16::from(byte) << 8 {
                0 => self.after(HAS_EXTRA),
                length => State::Extra(length),
            },
            State::Extra(1) => self.after(HAS_EXTRA),
            State::Extra(left) => State::Extra(left - 1),
            State::Name if byte == 0 => self.after(HAS_NAME),
            State::Comment if byte == 0 => self.after(HAS_COMMENT),
            State::HeaderCrc(1) => self.after(HAS_CRC),
            State::HeaderCrc(left) => State::HeaderCrc(left - 1),
            State::Trailer(read) => {
                self.held[read] = byte;
                if read + 1 < TRAILER { State::Trailer(read + 1) } else { self.end_member()? }
            }
            state => state,
        })
    }

    /// The part of the header that follows the one of this flag; parts come in
    /// the order extra, name, comment, checksum.
    fn after(&mut self, flag: u8) -> State {
        let flags = self.held[3];
        let order = [HAS_EXTRA, HAS_NAME, HAS_COMMENT, HAS_CRC];
        let from = order.iter().position(|part| *part == flag).map_or(0, |part| part + 1);
        match order[from..].iter().find(|part| flags & **part != 0) {
            Some(&HAS_EXTRA) => State::ExtraLength(0, 0),
            Some(&HAS_NAME) => State::Name,
            Some(&HAS_COMMENT) => State::Comment,
            Some(_) => State::HeaderCrc(2),
            None => State::Body,
        }
    }

    fn end_member(&mut self) -> Result<State, Undecodable> {
        let [a, b, c, d, e, f, g, h, ..] = self.held;
        let sum = u32::from_le_bytes([a, b, c, d]);
        let size = u32::from_le_bytes([e, f, g, h]);
        if sum != self.crc.sum() || size != self.crc.amount() {
            return Err(Undecodable);
        }
        self.crc.reset();
        self.inflate.reset(false);
        self.members += 1;
        Ok(State::Header(0))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.members > 0 && matches!(self.state, State::Header(0) | State::Padding)
    }
}

/// Undoes deflate.
#[derive(Debug)]
pub(super) struct Deflate {
    /// The first byte, until the second one tells how the data is wrapped.
    first: Option<u8>,
    inflate: Option<Box<Decompress>>,
    ended: bool,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self { first: None, inflate: None, ended: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8], next: &mut Next<'_>) -> Result<(), Undecodable> {
        let mut bytes = bytes;
        while self.inflate.is_none() {
            let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            match self.first {
                None => self.first = Some(*byte),
                Some(first) => {
                    let check = u16::from_be_bytes([first, *byte]);
                    let zlib = first & 0x0f == 8 && first >> 4 <= 7 && check % 31 == 0;
                    self.inflate = Some(Box::new(Decompress::new(zlib)));
                    self.run(&[first, *byte], next)?;
                }
            }
        }
        self.run(bytes, next)
    }

    fn run(&mut self, bytes: &[u8], next: &mut Next<'_>) -> Result<(), Undecodable> {
        let Some(state) = self.inflate.as_mut().filter(|_| !self.ended) else { return Ok(()) };
        let (used, ended) = inflate(state, bytes, next)?;
        self.ended = ended;
        if !ended && used < bytes.len() { Err(Undecodable) } else { Ok(()) }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.ended
    }
}
