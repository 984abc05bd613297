//! Messages that wait for the network of one reader: a few, bounded in bytes for
//! each reader and for all of them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

/// Messages that wait for one reader.
const MAX_MESSAGES: usize = 8;

/// Bytes that wait for one reader, unless it is a single message.
const MAX_BYTES: usize = 1024 * 1024;

/// Bytes that wait for all readers together; messages that several readers share
/// are counted for each.
const MAX_BYTES_OF_ALL: usize = 128 * 1024 * 1024;

/// What waits for one reader.
#[derive(Debug)]
pub(super) struct Mailbox {
    waiting: Mutex<Waiting>,
    /// Bytes that wait for all readers.
    total: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Bytes>,
    bytes: usize,
    missed: u64,
    waker: Option<Waker>,
}

/// What a reader takes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// An encoded message.
    Message(Bytes),
    /// This many messages had no room: the reader needs a new snapshot.
    Missed(u64),
}

impl Mailbox {
    /// An empty one; `total` is shared by all.
    pub(super) fn new(total: Arc<AtomicUsize>) -> Self {
        Self { waiting: Mutex::default(), total }
    }

    /// Adds an encoded message. Without room it is counted as missed, and so is
    /// all that follows until the reader has caught up.
    pub(super) fn push(&self, message: &Bytes) {
        let mut waiting = self.lock();
        if waiting.missed > 0 || !self.has_room(&waiting, message.len()) {
            waiting.missed += 1;
        } else {
            self.total.fetch_add(message.len(), Ordering::Relaxed);
            waiting.bytes += message.len();
            waiting.messages.push_back(message.clone());
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// Adds a message that is no news to a reader that is behind.
    pub(super) fn push_if_empty(&self, message: &Bytes) {
        let is_empty = {
            let waiting = self.lock();
            waiting.messages.is_empty() && waiting.missed == 0
        };
        if is_empty {
            self.push(message);
        }
    }

    fn has_room(&self, waiting: &Waiting, bytes: usize) -> bool {
        waiting.messages.is_empty()
            || (waiting.messages.len() < MAX_MESSAGES
                && waiting.bytes + bytes <= MAX_BYTES
                && self.total.load(Ordering::Relaxed) + bytes <= MAX_BYTES_OF_ALL)
    }

    /// Takes the oldest message, or, after all of them, how many were missed.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Taken> {
        let mut waiting = self.lock();
        if let Some(message) = waiting.messages.pop_front() {
            waiting.bytes -= message.len();
            self.total.fetch_sub(message.len(), Ordering::Relaxed);
            return Poll::Ready(Taken::Message(message));
        }
        if waiting.missed > 0 {
            return Poll::Ready(Taken::Missed(std::mem::take(&mut waiting.missed)));
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let bytes = self.lock().bytes;
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(mailbox: &Mailbox) -> Option<Taken> {
        match mailbox.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => Some(taken),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_reader_that_does_not_read_is_bounded_by_bytes_and_told_what_it_missed() {
        let total = Arc::new(AtomicUsize::new(0));
        let mailbox = Mailbox::new(Arc::clone(&total));
        let large = Bytes::from(vec![0; MAX_BYTES / 2]);
        for _ in 0..10 {
            mailbox.push(&large);
        }
        assert_eq!(total.load(Ordering::Relaxed), MAX_BYTES);
        assert_eq!(take(&mailbox), Some(Taken::Message(large.clone())));
        // A message after a gap would be misread.
        mailbox.push(&Bytes::from_static(b"small"));
        assert_eq!(take(&mailbox), Some(Taken::Message(large)));
        assert_eq!(take(&mailbox), Some(Taken::Missed(9)));
        assert_eq!(take(&mailbox), None);
        mailbox.push(&Bytes::from_static(b"small"));
        drop(mailbox);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_readers_together_are_bounded_by_bytes() {
        let total = Arc::new(AtomicUsize::new(MAX_BYTES_OF_ALL));
        let mailbox = Mailbox::new(total);
        let message = Bytes::from_static(b"message");
        // One message is always taken: else a reader would never go on.
        mailbox.push(&message);
        mailbox.push(&message);
        assert_eq!(take(&mailbox), Some(Taken::Message(message)));
        assert_eq!(take(&mailbox), Some(Taken::Missed(1)));
    }
}
