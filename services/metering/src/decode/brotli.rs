//! brotli (RFC 7932), without the large windows that HTTP does not allow.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use crate::decode::{BUFFER, Next, Undecodable};

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// Undoes brotli.
pub(super) struct Brotli {
    state: Box<State>,
    ended: bool,
}

impl std::fmt::Debug for Brotli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brotli").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Brotli {
    pub(super) fn new() -> Self {
        let alloc = StandardAlloc::default;
        Self { state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())), ended: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8], next: &mut Next<'_>) -> Result<(), Undecodable> {
        let mut buffer = [0; BUFFER];
        let mut read = 0;
        while !self.ended {
            let (mut left, mut room, mut written, mut total) = (bytes.len() - read, BUFFER, 0, 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut read,
                bytes,
                &mut room,
                &mut written,
                &mut buffer,
                &mut total,
                &mut self.state,
            );
            if written > 0 {
                next(&buffer[..written])?;
            }
            match result {
                BrotliResult::ResultSuccess => self.ended = true,
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput => break,
                BrotliResult::ResultFailure => return Err(Undecodable),
            }
        }
        Ok(())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.ended
    }
}
