//! Undoes content codings of the copy: gzip with several members, deflate with
//! or without its zlib wrapper, brotli, zstd with several frames, several
//! codings over each other. Emits at once whatever a flushed compressor wrote,
//! and stops where a small body would become a huge one.

mod brotli;
mod gzip;
mod zstd;

use flate2::{Decompress, FlushDecompress, Status};

use crate::decode::brotli::Brotli;
use crate::decode::gzip::{Deflate, Gzip};
use crate::decode::zstd::Zstd;
use crate::limits::Limits;

/// Takes decoded bytes.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) + 'a;

/// The bytes are not of this coding, or go beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undecodable;

/// Decoded bytes that are emitted at a time.
const BUFFER: usize = 8 << 10;
/// Decoded bytes that are free of the limit on expansion.
const FREE: u64 = 8 << 20;

/// Undoes the codings of one body.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The outermost coding first.
    codings: Vec<Coding>,
    read: u64,
    decoded: u64,
    limits: Limits,
    failed: bool,
}

#[derive(Debug)]
enum Coding {
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli(Brotli),
    Zstd(Zstd),
    /// Not known: nothing can be read.
    Unknown,
}

impl Decoder {
    /// For the values of `content-encoding`, the first one applied first. `None`
    /// if nothing has to be undone.
    pub(crate) fn new<'a>(
        values: impl IntoIterator<Item = &'a [u8]>,
        limits: &Limits,
    ) -> Option<Self> {
        let mut codings = Vec::new();
        for value in values {
            // What is no text names no coding that is known.
            for name in crate::head::text(value).unwrap_or("?").split(',') {
                let coding = match name.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Coding::Gzip(Gzip::new()),
                    "deflate" => Coding::Deflate(Deflate::new()),
                    "br" => Coding::Brotli(Brotli::new()),
                    "zstd" => Zstd::new(limits).map_or(Coding::Unknown, Coding::Zstd),
                    _ => Coding::Unknown,
                };
                // More than a few is an attack.
                if codings.len() < 4 {
                    codings.push(coding);
                } else {
                    codings[0] = Coding::Unknown;
                }
            }
        }
        codings.reverse();
        (!codings.is_empty()).then(|| Self {
            codings,
            read: 0,
            decoded: 0,
            limits: *limits,
            failed: false,
        })
    }

    /// Whether all of its codings can be undone.
    pub(crate) fn is_known(&self) -> bool {
        !self.codings.iter().any(|coding| matches!(coding, Coding::Unknown))
    }

    /// Decodes a piece. After a failure nothing is decoded any more.
    pub(crate) fn push(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Undecodable> {
        if self.failed {
            return Err(Undecodable);
        }
        self.read += bytes.len() as u64;
        let most = FREE.max(self.read.saturating_mul(self.limits.expansion));
        let most = most.min(self.limits.decoded_bytes);
        let mut budget = most.saturating_sub(self.decoded);
        let before = budget;
        let result = through(&mut self.codings, bytes, &mut budget, sink);
        self.decoded += before - budget;
        self.failed = result.is_err();
        result
    }

    /// Whether the body may end here.
    pub(crate) fn is_whole(&self) -> bool {
        !self.failed && self.codings.iter().all(Coding::is_whole)
    }
}

/// Passes bytes through all codings; what each one emits counts.
fn through(
    codings: &mut [Coding],
    bytes: &[u8],
    budget: &mut u64,
    sink: &mut Sink<'_>,
) -> Result<(), Undecodable> {
    let Some((first, rest)) = codings.split_first_mut() else {
        sink(bytes);
        return Ok(());
    };
    first.push(bytes, &mut |decoded| {
        *budget = budget.checked_sub(decoded.len() as u64).ok_or(Undecodable)?;
        through(rest, decoded, budget, sink)
    })
}

/// Takes the output of one coding; fails if a later one does.
type Next<'a> = dyn FnMut(&[u8]) -> Result<(), Undecodable> + 'a;

impl Coding {
    fn push(&mut self, bytes: &[u8], next: &mut Next<'_>) -> Result<(), Undecodable> {
        match self {
            Self::Gzip(gzip) => gzip.push(bytes, next),
            Self::Deflate(deflate) => deflate.push(bytes, next),
            Self::Brotli(brotli) => brotli.push(bytes, next),
            Self::Zstd(zstd) => zstd.push(bytes, next),
            Self::Unknown => Err(Undecodable),
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::Gzip(gzip) => gzip.is_whole(),
            Self::Deflate(deflate) => deflate.is_whole(),
            Self::Brotli(brotli) => brotli.is_whole(),
            Self::Zstd(zstd) => zstd.is_whole(),
            Self::Unknown => false,
        }
    }
}

/// Inflates as far as the input goes. Returns how much of it was used and
/// whether the deflate stream has ended.
fn inflate(
    state: &mut Decompress,
    bytes: &[u8],
    next: &mut Next<'_>,
) -> Result<(usize, bool), Undecodable> {
    let mut buffer = [0; BUFFER];
    let mut used = 0;
    loop {
        let (read, written) = (state.total_in(), state.total_out());
        let status = state.decompress(&bytes[used..], &mut buffer, FlushDecompress::None);
        let read = usize::try_from(state.total_in() - read).map_err(|_| Undecodable)?;
        let written = usize::try_from(state.total_out() - written).map_err(|_| Undecodable)?;
        used += read;
        // What comes before an error counts, wherever the input was cut.
        if written > 0 {
            next(&buffer[..written])?;
        }
        let status = status.map_err(|_| Undecodable)?;
        if status == Status::StreamEnd {
            return Ok((used, true));
        }
        // A full buffer may have left output behind.
        if written < buffer.len() && (used == bytes.len() || read + written == 0) {
            return Ok((used, false));
        }
    }
}

/// Inflates a piece of a WebSocket message. Returns whether it could be read.
pub(crate) fn inflate_some(
    state: &mut Decompress,
    bytes: &[u8],
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> bool {
    let most = FREE.max((state.total_in() + bytes.len() as u64).saturating_mul(limits.expansion));
    let mut budget = most.saturating_sub(state.total_out());
    let mut next = |decoded: &[u8]| {
        budget = budget.checked_sub(decoded.len() as u64).ok_or(Undecodable)?;
        sink(decoded);
        Ok(())
    };
    matches!(inflate(state, bytes, &mut next), Ok((used, false)) if used == bytes.len())
}
