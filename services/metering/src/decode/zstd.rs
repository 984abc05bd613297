//! zstd (RFC 8878), frame after frame, with a bound on the window.

use zstd::stream::raw::{DParameter, Decoder, Operation};

use crate::decode::{BUFFER, Next, Undecodable};
use crate::limits::Limits;

/// Undoes zstd.
pub(super) struct Zstd {
    decoder: Decoder<'static>,
    /// A frame has begun and not ended.
    inside: bool,
    frames: u64,
    /// Input that the decoder wants next: never more than one block, so that an
    /// error costs the same output wherever the input is cut.
    wanted: usize,
}

impl std::fmt::Debug for Zstd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zstd").field("inside", &self.inside).finish_non_exhaustive()
    }
}

impl Zstd {
    /// `None` if the library has no memory for it.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let mut decoder = Decoder::new().ok()?;
        let window = limits.window_bytes.max(1 << 10).ilog2();
        decoder.set_parameter(DParameter::WindowLogMax(window.min(27))).ok()?;
        Some(Self { decoder, inside: false, frames: 0, wanted: 1 })
    }

    pub(super) fn push(&mut self, bytes: &[u8], next: &mut Next<'_>) -> Result<(), Undecodable> {
        let mut buffer = [0; BUFFER];
        let mut read = 0;
        loop {
            let end = bytes.len().min(read + self.wanted);
            let step = self
                .decoder
                .run_on_buffers(&bytes[read..end], &mut buffer)
                .map_err(|_| Undecodable)?;
            read += step.bytes_read;
            self.wanted = step.remaining.max(1);
            if step.bytes_written > 0 {
                next(&buffer[..step.bytes_written])?;
            }
            if step.bytes_read > 0 || step.bytes_written > 0 {
                self.inside = step.remaining != 0;
                self.frames += u64::from(!self.inside);
            }
            // A full buffer may have left output behind.
            if step.bytes_written < BUFFER && (read == bytes.len() || step.bytes_read == 0) {
                return Ok(());
            }
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        !self.inside && self.frames > 0
    }
}
