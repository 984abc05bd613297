//! Buffers of a core. A connection borrows one while bytes are in hand and gives it
//! back when they have left, so that one that waits owns none.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use modash_http1::{Lines, MAX_HEAD};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once.
const SIZE: usize = 16 * 1024;

/// Unjudged bytes that a buffer may hold: a head, and what came with its end.
const MAX_SIZE: usize = 2 * MAX_HEAD;

/// Buffers of each kind that a core keeps.
const MAX_KEPT: usize = 64;

thread_local! {
    static READ: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static WRITE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LINES: RefCell<Lines> = RefCell::new(Lines::default());
}

/// Lends the core's header lines.
pub(super) fn with_lines<T>(work: impl FnOnce(&mut Lines) -> T) -> T {
    LINES.with_borrow_mut(work)
}

fn keep(kept: &'static std::thread::LocalKey<RefCell<Vec<Vec<u8>>>>, buffer: Vec<u8>) {
    kept.with_borrow_mut(|kept| {
        if kept.len() < MAX_KEPT {
            kept.push(buffer);
        }
    });
}

/// What was read from one side. First comes what waits to be written to the other
/// side, then what was not judged yet.
#[derive(Default)]
pub(super) struct Input {
    /// Empty, or all of it may be read into.
    bytes: Vec<u8>,
    start: usize,
    judged: usize,
    end: usize,
}

impl Input {
    /// Bytes that were not judged.
    pub(super) fn unjudged(&self) -> &[u8] {
        &self.bytes[self.judged..self.end]
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.bytes[self.start..self.judged]
    }

    /// The next bytes are to be written as they are.
    pub(super) fn pass(&mut self, length: usize) {
        self.judged += length;
    }

    /// The next bytes fall out; nothing waits before them.
    pub(super) fn skip(&mut self, length: usize) {
        self.judged += length;
        self.start = self.judged;
    }

    fn written(&mut self, length: usize) {
        self.start += length;
    }

    /// Whether more may be read while the unjudged bytes stay.
    pub(super) fn has_room(&self) -> bool {
        self.end - self.judged < MAX_HEAD
    }

    /// Gives the buffer back if nothing is in it.
    pub(super) fn release(&mut self) {
        if self.start == self.end && !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            (self.start, self.judged, self.end) = (0, 0, 0);
            if bytes.len() == SIZE {
                keep(&READ, bytes);
            }
        }
    }

    /// Reads once. 0: the other side has ended.
    pub(super) fn poll_fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin + ?Sized),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.start == self.end {
            (self.start, self.judged, self.end) = (0, 0, 0);
        }
        if self.bytes.is_empty() {
            let kept = READ.with_borrow_mut(Vec::pop);
            self.bytes = kept.unwrap_or_else(|| vec![0; SIZE]);
        }
        if self.end == self.bytes.len() {
            self.make_room()?;
        }
        let mut space = ReadBuf::new(&mut self.bytes[self.end..]);
        let read = Pin::new(stream).poll_read(context, &mut space);
        let length = space.filled().len();
        self.end += length;
        if !matches!(read, Poll::Ready(Ok(()))) {
            self.release();
        }
        ready!(read)?;
        Poll::Ready(Ok(length))
    }

    fn make_room(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.judged -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            if self.end >= MAX_SIZE {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        Ok(())
    }

    /// Drops the unjudged bytes.
    pub(super) fn forget_unjudged(&mut self) {
        self.end = self.judged;
    }

    /// All unjudged bytes, out of the buffer.
    pub(super) fn take_unjudged(&mut self) -> Vec<u8> {
        let taken = self.unjudged().to_vec();
        self.judged = self.end;
        self.start = self.end;
        self.release();
        taken
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.start = self.end;
        self.release();
    }
}

/// What the relay itself writes to one side, before what waits in an `Input`: heads,
/// answers, bodies whose framing changes.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    /// To append to.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = WRITE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        &mut self.bytes
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// All of it, which is not written then.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.written = 0;
        std::mem::take(&mut self.bytes)
    }

    /// What was not written.
    pub(super) fn rest(&self) -> Vec<u8> {
        self.waiting().to_vec()
    }

    /// Whether all of it was written.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// These bytes are to be written, and nothing else.
    pub(super) fn replace(&mut self, bytes: Vec<u8>) {
        self.release();
        self.bytes = bytes;
    }

    /// It is to be written once more.
    pub(super) fn rewind(&mut self) {
        self.written = 0;
    }

    /// It is not needed any more.
    pub(super) fn release(&mut self) {
        self.written = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        if (1..=SIZE).contains(&bytes.capacity()) {
            keep(&WRITE, bytes);
        }
    }
}

/// Writes the output and then what waits in the input: together if they go into one
/// write. `progress` is shown what was written of each.
pub(super) fn poll_send(
    stream: &mut (impl AsyncWrite + Unpin + ?Sized),
    output: &mut Output,
    input: &mut Input,
    context: &mut Context<'_>,
    mut progress: impl FnMut(&[u8], &[u8]),
) -> Poll<io::Result<()>> {
    loop {
        let (first, second) = (output.waiting(), input.waiting());
        let written = match (first.is_empty(), second.is_empty()) {
            (true, true) => break,
            (false, true) => Pin::new(&mut *stream).poll_write(context, first),
            (true, false) => Pin::new(&mut *stream).poll_write(context, second),
            (false, false) => {
                let slices = [io::IoSlice::new(first), io::IoSlice::new(second)];
                Pin::new(&mut *stream).poll_write_vectored(context, &slices)
            }
        };
        let length = ready!(written)?;
        if length == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_output = length.min(first.len());
        progress(&first[..of_output], &second[..length - of_output]);
        output.written += of_output;
        input.written(length - of_output);
    }
    // TLS may hold back what it took.
    Pin::new(stream).poll_flush(context)
}
