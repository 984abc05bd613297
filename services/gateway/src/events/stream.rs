//! One open stream: waits for changes, sends them when it is their turn, and
//! ends when the client leaves, reads too slowly, or the gateway stops.

use std::time::Duration;

use modash_runtime::Shutdown;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{Hub, fold::Fold, frame::Frame};

/// Silence after which a heartbeat is sent.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client left.
    Left,
    /// The client reads slower than events are made.
    TooSlow,
    /// The gateway stops.
    Stopped,
}

/// A stream that was opened.
pub(crate) struct Stream {
    /// Where the events come from.
    pub(crate) hub: Hub,
    /// Number of the newest event that `fold` knows.
    pub(crate) seq: u64,
    /// What waits to be sent.
    pub(crate) fold: Fold,
    /// Tells the number of the newest event.
    pub(crate) newest: watch::Receiver<u64>,
    /// To the client.
    pub(crate) out: mpsc::Sender<Frame>,
}

impl Stream {
    /// Sends until something ends it.
    pub(crate) async fn run(mut self, shutdown: Shutdown) -> End {
        let mut last_write = Instant::now();
        loop {
            // Marked as seen first, so that nothing made from here on is
            // overlooked.
            self.newest.borrow_and_update();
            let Some(events) = self.hub.after(self.seq) else {
                return End::TooSlow;
            };
            for event in events {
                self.fold.add(&event);
                self.seq = event.seq;
            }
            let now = Instant::now();
            let mut frames = self.fold.take(self.hub.instance(), now);
            if frames.is_empty() && now >= last_write + HEARTBEAT {
                frames.push(Frame::heartbeat());
            }
            for frame in frames {
                last_write = now;
                match self.out.try_send(frame) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(_)) => return End::TooSlow,
                    Err(mpsc::error::TrySendError::Closed(_)) => return End::Left,
                }
            }
            let heartbeat = last_write + HEARTBEAT;
            let next = self.fold.due().map_or(heartbeat, |due| due.min(heartbeat));
            tokio::select! {
                changed = self.newest.changed() => if changed.is_err() { return End::Stopped },
                () = sleep_until(next) => {}
                () = self.out.closed() => return End::Left,
                () = shutdown.requested() => return End::Stopped,
            }
        }
    }
}
