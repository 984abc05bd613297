//! One open stream: waits for changes, sends them when it is their turn, and
//! ends when the client leaves, reads too slowly, or the gateway stops.

use std::time::Duration;

use modash_proto::Reason;
use modash_runtime::Shutdown;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tonic::Status;

use super::{
    Hub,
    fold::{Fold, Requests, Told},
    frame::Frame,
    message,
    outbox::Outbox,
};

/// Silence after which a stream shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often is looked whether a reader that was too slow has read all.
const CATCH_UP: Duration = Duration::from_millis(250);

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
    /// Nothing arrives from analytics any more.
    Lost,
}

/// In which form a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Server-sent events. A client that is too slow comes back with the number of the
    /// last one it has seen.
    Events,
    /// Messages of `Subscribe`. A client that is too slow is told how many it missed, and
    /// how things are.
    Messages(Topics),
}

/// Which changes the client of `Subscribe` wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Topics {
    pub(crate) usage: bool,
    pub(crate) request_state: bool,
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
    /// How it is told.
    pub(crate) form: Form,
    /// Messages that the client missed since it was too slow.
    pub(crate) missed: u64,
}

impl Stream {
    /// Sends until something ends it.
    pub(crate) async fn run(&mut self, shutdown: Shutdown) -> End {
        let mut last_write = Instant::now();
        loop {
            // Marked as seen first, so that nothing made from here on is
            // overlooked.
            self.newest.borrow_and_update();
            let now = Instant::now();
            match self.send_due(now) {
                Ok(true) => last_write = now,
                Ok(false) if now >= last_write + HEARTBEAT => {
                    last_write = now;
                    if let Err(end) = self.send(self.heartbeat()) {
                        return end;
                    }
                }
                Ok(false) => {}
                Err(end) => return end,
            }
            let heartbeat = last_write + HEARTBEAT;
            let mut next = self.fold.due().map_or(heartbeat, |due| due.min(heartbeat));
            if self.missed > 0 {
                next = next.min(now + CATCH_UP);
            }
            tokio::select! {
                changed = self.newest.changed() => if changed.is_err() { return End::Stopped },
                () = sleep_until(next) => {}
                () = self.out.closed() => return End::Left,
                () = shutdown.requested() => return End::Stopped,
            }
        }
    }

    /// Sends what it is time for; whether there was something.
    fn send_due(&mut self, now: Instant) -> Result<bool, End> {
        match self.hub.after(self.seq) {
            Some(events) => {
                for event in events {
                    self.fold.add(&event);
                    self.seq = event.seq;
                }
            }
            None if self.form == Form::Events => return Err(End::TooSlow),
            None => self.missed += 1,
        }
        if self.missed > 0 && self.out.is_empty() {
            self.catch_up()?;
        }
        let told = self.fold.take(now);
        told.iter().try_for_each(|told| self.tell(told))?;
        Ok(!told.is_empty())
    }

    fn tell(&mut self, told: &Told) -> Result<(), End> {
        let topics = match self.form {
            Form::Events => {
                return Frame::told(self.hub.instance(), told).map_or(Ok(()), |f| self.send(f));
            }
            Form::Messages(topics) => topics,
        };
        match told {
            Told::Requests(Requests { live: Some(false), .. }) => Err(End::Lost),
            Told::Usage(_) if topics.usage => self.send(message::told(told)),
            Told::Requests(changed) if topics.request_state => {
                let is_list = changed.snapshot && !changed.truncated;
                if changed.truncated || changed.newest.values().any(|live| live.ended || !is_list) {
                    self.send(message::told(told))?;
                }
                if is_list { self.send(self.hub.connected_message(topics).1) } else { Ok(()) }
            }
            Told::Usage(_) | Told::Requests(_) => Ok(()),
        }
    }

    /// Tells a client that has read all what it missed, and how things are now.
    fn catch_up(&mut self) -> Result<(), End> {
        let Form::Messages(topics) = self.form else { return Ok(()) };
        let missed = std::mem::take(&mut self.missed);
        self.hub.shared.metrics.slow_readers.inc();
        let (seq, connected) = self.hub.connected_message(topics);
        (self.seq, self.fold) = (seq, Fold::new(seq));
        // As one: a list that is too large to wait beside anything would never be taken.
        self.send(message::missed(missed).and(&connected))
    }

    fn heartbeat(&self) -> Frame {
        match self.form {
            Form::Events => Frame::heartbeat(),
            Form::Messages(_) => message::keep_alive(),
        }
    }

    fn send(&mut self, frame: Frame) -> Result<(), End> {
        if self.missed == 0 {
            match self.out.send(frame) {
                Err(End::TooSlow) if self.form != Form::Events => {}
                sent => return sent,
            }
        }
        self.missed += 1;
        Ok(())
    }

    /// Tells a client of `Subscribe` why its stream has ended.
    pub(crate) fn finish(&self, end: End) {
        let status = match end {
            End::Left | End::TooSlow => return,
            End::Stopped => Reason::Stopping.status("the gateway is stopping; try again"),
            End::Refused => {
                Status::unauthenticated("the session or token has ended: sign in again")
            }
            End::Lost => {
                let text = "the subscription to analytics was lost; subscribe again";
                Reason::AnalyticsUnreachable.status(text)
            }
        };
        if self.form != Form::Events {
            // Whoever has no room for it sees the stream end without a status.
            let _ = self.out.send(message::end(&status));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{PageSettings, outbox::Held};
    use crate::{contract::Contract, metrics::GatewayMetrics};
    use modash_proto::v1::{
        Connected, LiveRequest, Missed, SubscribeResponse, UsageUpdated,
        subscribe_response::Message,
    };
    use prost::Message as _;
    use tokio::{sync::mpsc, task::JoinHandle};

    fn hub() -> Hub {
        Hub::new(
            Contract::new().unwrap().live_request(),
            PageSettings { proxy_port: 4005, trace_url: None },
            GatewayMetrics::register(&modash_runtime::Metrics::default()),
        )
    }

    fn start(hub: &Hub, room: usize) -> (mpsc::Receiver<Held>, JoinHandle<End>, Shutdown) {
        start_in(hub, room, Form::Events)
    }

    fn start_in(
        hub: &Hub,
        room: usize,
        form: Form,
    ) -> (mpsc::Receiver<Held>, JoinHandle<End>, Shutdown) {
        let (out, frames) = Outbox::new(room, &hub.shared.waiting_bytes);
        let (fold, newest) = (Fold::new(0), hub.shared.newest.subscribe());
        let hub = hub.clone();
        let mut stream = Stream { hub, seq: 0, fold, newest, out, form, missed: 0 };
        let shutdown = Shutdown::new(Duration::from_secs(1));
        let until = shutdown.clone();
        (frames, tokio::spawn(async move { stream.run(until).await }), shutdown)
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

    #[tokio::test(start_paused = true)]
    async fn a_reader_of_subscribe_that_was_too_slow_is_told_what_it_missed_and_how_things_are() {
        let hub = hub();
        let form = Form::Messages(Topics { usage: true, request_state: true });
        let (mut frames, running, _shutdown) = start_in(&hub, 4, form);
        for _ in 0..10 {
            hub.usage_updated(&UsageUpdated { requests: 1, ..Default::default() });
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(!running.is_finished());
        for _ in 0..4 {
            assert!(matches!(said(&frames.recv().await.unwrap()), Message::UsageUpdated(_)));
        }
        let both = frames.recv().await.unwrap().take().0;
        let length = 5 + u32::from_be_bytes(both[1..5].try_into().unwrap()) as usize;
        let message = |bytes: &[u8]| SubscribeResponse::decode(bytes).unwrap().message.unwrap();
        assert_eq!(message(&both[5..length]), Message::Missed(Missed { messages: 6 }));
        assert!(matches!(message(&both[length + 5..]), Message::Connected(_)));
        hub.usage_updated(&UsageUpdated { requests: 1, ..Default::default() });
        assert!(matches!(said(&frames.recv().await.unwrap()), Message::UsageUpdated(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_of_subscribe_is_kept_awake_and_its_stream_ends_when_analytics_is_lost() {
        let hub = hub();
        hub.connected(Connected::default(), true);
        let form = Form::Messages(Topics { usage: true, request_state: true });
        let (mut frames, running, _shutdown) = start_in(&hub, 64, form);
        while !matches!(said(&frames.recv().await.unwrap()), Message::KeepAlive(_)) {}
        hub.lost();
        assert_eq!(running.await.unwrap(), End::Lost);
    }

    fn said(held: &Held) -> Message {
        SubscribeResponse::decode(&held.take().0[5..]).unwrap().message.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_is_told_after_a_miss_however_much_it_is() {
        let hub = hub();
        let running = |number: u32| LiveRequest {
            event_id: number.to_string(),
            path: "x".repeat(500),
            ..LiveRequest::default()
        };
        let requests: Vec<_> = (0..4_000).map(running).collect();
        hub.connected(Connected { requests, ..Default::default() }, true);
        let form = Form::Messages(Topics { usage: true, request_state: true });
        let (mut frames, _running, _shutdown) = start_in(&hub, 4, form);
        for _ in 0..10 {
            hub.usage_updated(&UsageUpdated { requests: 1, ..Default::default() });
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let told = async {
            loop {
                let frame = frames.recv().await.unwrap().take().0;
                if frame.len() > 1_500_000 {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), told).await.expect("the whole list");
    }
}
