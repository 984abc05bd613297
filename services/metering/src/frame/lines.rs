//! One JSON object each line (spec 3.2), or several.

use std::time::Duration;

use memchr::memchr;

use crate::reader::{Ended, Reader};

/// Cuts a body into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines;

impl Lines {
    /// A piece of the body that begins at a decoded offset.
    pub(crate) fn push(&mut self, bytes: &[u8], offset: u64, at: Duration, reader: &mut Reader) {
        let mut next = 0;
        while let Some(end) = memchr(b'\n', &bytes[next..]) {
            feed(&bytes[next..next + end], offset + next as u64, at, reader);
            next += end + 1;
            reader.end_event(b"", at, offset + next as u64);
        }
        feed(&bytes[next..], offset + next as u64, at, reader);
    }

    /// The body has ended. Returns whether its last line is cut.
    pub(crate) fn finish(&mut self, at: Duration, offset: u64, reader: &mut Reader) -> bool {
        reader.end_event(b"", at, offset) == Ended::Bad
    }
}

/// A piece of a line. An object ends where the next one begins.
fn feed(line: &[u8], offset: u64, at: Duration, reader: &mut Reader) {
    let mut from = 0;
    while let Some(next) = reader.feed_first(&line[from..]) {
        from += next;
        reader.end_event(b"", at, offset + from as u64);
    }
}
