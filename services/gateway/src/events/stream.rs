//! One open stream: waits for changes, sends them when it is their turn, and
//! ends when the client leaves, reads too slowly, or the gateway stops.

use std::time::Duration;

use modash_runtime::Shutdown;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Hub, fold::Fold, frame::Frame, outbox::Outbox};

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
    /// The caller's token or session has ended.
    Refused,
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
    pub(crate) out: Outbox,
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
                if let Err(end) = self.out.send(frame) {
                    return end;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{PageSettings, outbox::Held};
    use crate::{contract::Contract, metrics::GatewayMetrics};
    use modash_proto::v1::UsageUpdated;
    use tokio::{sync::mpsc, task::JoinHandle};

    fn hub() -> Hub {
        Hub::new(
            Contract::new().unwrap().live_request(),
            PageSettings { proxy_port: 4005, trace_url: None },
            GatewayMetrics::register(&modash_runtime::Metrics::default()),
        )
    }

    fn start(hub: &Hub, room: usize) -> (mpsc::Receiver<Held>, JoinHandle<End>, Shutdown) {
        let (out, frames) = Outbox::new(room, &hub.shared.waiting_bytes);
        let (fold, newest) = (Fold::new(0), hub.shared.newest.subscribe());
        let stream = Stream { hub: hub.clone(), seq: 0, fold, newest, out };
        let shutdown = Shutdown::new(Duration::from_secs(1));
        (frames, tokio::spawn(stream.run(shutdown.clone())), shutdown)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_read_is_ended_when_its_buffer_is_full() {
        let hub = hub();
        let (mut frames, running, _shutdown) = start(&hub, 64);
        let mut made = 0;
        while !running.is_finished() {
            hub.usage_updated(&UsageUpdated::default());
            made += 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(running.await.unwrap(), End::TooSlow);
        assert_eq!(made, 65);
        let mut sent = 0;
        while frames.recv().await.is_some() {
            sent += 1;
        }
        assert_eq!(sent, 64);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_has_a_heartbeat_each_15_seconds() {
        let hub = hub();
        let (mut frames, running, shutdown) = start(&hub, 64);
        let begin = Instant::now();
        for beats in 1..=3 {
            assert_eq!(frames.recv().await.unwrap().take(), Frame::heartbeat());
            assert_eq!(begin.elapsed().as_secs(), beats * 15);
        }
        shutdown.request();
        assert_eq!(running.await.unwrap(), End::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_ends_its_stream() {
        let (frames, running, _shutdown) = start(&hub(), 64);
        drop(frames);
        assert_eq!(running.await.unwrap(), End::Left);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_never_sends_more_often_than_allowed() {
        let hub = hub();
        let (mut frames, _running, _shutdown) = start(&hub, 64);
        let begin = Instant::now();
        let mut times = Vec::new();
        for _ in 0..100 {
            hub.usage_updated(&UsageUpdated { requests: 1, ..Default::default() });
            tokio::time::sleep(Duration::from_millis(20)).await;
            while let Ok(frame) = frames.try_recv() {
                times.push((begin.elapsed().as_millis() / 20 * 20, frame));
            }
        }
        let times: Vec<_> = times.into_iter().map(|(time, _)| time).collect();
        assert_eq!(times.len(), 4, "{times:?}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{times:?}");
    }
}
