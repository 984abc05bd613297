//! Frames of one stream that wait for its client, bounded in number and in bytes,
//! for each stream and for all of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc::{self, error::TrySendError};

use super::{frame::Frame, stream::End};

/// Bytes that wait for one client, unless it is a single frame.
const MAX_BYTES: usize = 1024 * 1024;

/// Bytes that wait for all clients. Beyond it each has one frame at a time.
const MAX_BYTES_OF_ALL: usize = 64 * 1024 * 1024;

/// The sending end of a stream.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: mpsc::Sender<Held>,
    waiting: Arc<AtomicUsize>,
    waiting_of_all: Arc<AtomicUsize>,
}

/// A frame that waits; counted until it is taken.
#[derive(Debug)]
pub(crate) struct Held {
    frame: Frame,
    counters: [Arc<AtomicUsize>; 2],
}

impl Outbox {
    /// An outbox for `most` frames, and where the client takes them from.
    pub(crate) fn new(
        most: usize,
        waiting_of_all: &Arc<AtomicUsize>,
    ) -> (Self, mpsc::Receiver<Held>) {
        let (frames, taken) = mpsc::channel(most);
        let waiting_of_all = Arc::clone(waiting_of_all);
        (Self { frames, waiting: Arc::default(), waiting_of_all }, taken)
    }

    /// Adds a frame.
    pub(crate) fn send(&self, frame: Frame) -> Result<(), End> {
        let bytes = frame.0.len();
        let waiting = self.waiting.load(Ordering::Relaxed);
        let of_all = self.waiting_of_all.load(Ordering::Relaxed);
        let has_room = waiting + bytes <= MAX_BYTES && of_all + bytes <= MAX_BYTES_OF_ALL;
        if waiting > 0 && !has_room {
            return Err(End::TooSlow);
        }
        let counters = [Arc::clone(&self.waiting), Arc::clone(&self.waiting_of_all)];
        counters.iter().for_each(|counter| {
            counter.fetch_add(bytes, Ordering::Relaxed);
        });
        self.frames.try_send(Held { frame, counters }).map_err(|error| match error {
            TrySendError::Full(_) => End::TooSlow,
            TrySendError::Closed(_) => End::Left,
        })
    }

    /// Whether the client has taken all.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Waits until the client has left.
    pub(crate) async fn closed(&self) {
        self.frames.closed().await;
    }
}

impl Held {
    /// The frame, which waits no longer.
    pub(crate) fn take(&self) -> Frame {
        self.frame.clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for counter in &self.counters {
            counter.fetch_sub(self.frame.0.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_read_is_bounded_by_bytes_for_itself_and_for_all() {
        let all = Arc::new(AtomicUsize::new(0));
        let large = || Frame(vec![b'x'; MAX_BYTES / 4].into());
        let (out, frames) = Outbox::new(64, &all);
        for _ in 0..4 {
            out.send(large()).unwrap();
        }
        assert_eq!(out.send(large()), Err(End::TooSlow));
        let mut others = Vec::new();
        while all.load(Ordering::Relaxed) + MAX_BYTES / 4 <= MAX_BYTES_OF_ALL {
            let (other, frames) = Outbox::new(64, &all);
            while other.send(large()).is_ok() {}
            others.push(frames);
        }
        // A client that reads still gets one frame after the other.
        let (reading, mut read) = Outbox::new(64, &all);
        for _ in 0..3 {
            reading.send(large()).unwrap();
            assert_eq!(reading.send(large()), Err(End::TooSlow));
            assert_eq!(read.try_recv().unwrap().take(), large());
        }
        drop((frames, others));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
