//! One `Subscribe` stream: `connected` first, then folded changes at most every
//! 250 ms; a reader that is too slow is told how much it missed and gets a new
//! `connected`.

use std::{sync::Arc, time::Duration};

use modash_proto::{
    Violations,
    v1::{
        Connected, KeepAlive, Missed, SubscribeRequest, SubscribeResponse,
        subscribe_response::Message,
    },
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
    },
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Live, Topics, wire_now};
use crate::filter::Filter;

/// Least time between two messages of a kind.
const INTERVAL: Duration = Duration::from_millis(250);

/// Longest silence.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Messages that wait for the network of one reader.
const BUFFER: usize = 8;

/// Subscriptions at the same time.
const MAX_SUBSCRIPTIONS: usize = 1_024;

type Sender = mpsc::Sender<Result<SubscribeResponse, Status>>;

/// Removes its reader when the subscription ends, however it ends.
struct Registration {
    live: Arc<Live>,
    reader: u64,
    open: Gauge,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.live.remove_reader(self.reader);
        self.open.dec();
    }
}

impl Live {
    /// Opens a stream of changes, which ends after `deadline` if there is one.
    #[allow(clippy::result_large_err, reason = "the status is the answer of the call")]
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        request: SubscribeRequest,
        deadline: Option<Duration>,
        open: Gauge,
    ) -> Result<ReceiverStream<Result<SubscribeResponse, Status>>, Status> {
        let mut violations = Violations::default();
        let filter = Filter::from_wire(request.filter, &mut violations);
        let topics = Topics::from_wire(&request.topics);
        if topics.is_none() {
            violations.add("topics", "has one that is not known to this version");
        }
        violations.into_result()?;
        let Some(topics) = topics else { return Err(Status::internal("no topics")) };
        if self.stop.is_cancelled() {
            return Err(Status::unavailable("analytics is stopping; try again"));
        }
        if self.readers() >= MAX_SUBSCRIPTIONS {
            return Err(Status::resource_exhausted("too many subscriptions; try again later"));
        }
        let wake = Arc::new(Notify::new());
        let reader = self.add_reader(filter, topics, Arc::clone(&wake));
        open.inc();
        let registration = Registration { live: Arc::clone(self), reader, open };
        let (sender, receiver) = mpsc::channel(BUFFER);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let expired = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let last = tokio::select! {
                () = run(&registration, &wake, &sender) => return,
                () = expired => Status::deadline_exceeded("the deadline of the subscription passed"),
                () = stop.cancelled() => Status::unavailable("analytics is stopping; try again"),
            };
            // A reader with a full buffer sees the end without the reason.
            let _ = sender.try_send(Err(last));
        });
        Ok(ReceiverStream::new(receiver))
    }
}

/// Sends until the reader leaves.
async fn run(registration: &Registration, wake: &Notify, sender: &Sender) {
    let Registration { live, reader, .. } = registration;
    let (requests, _) = live.snapshot(*reader);
    if sender.try_send(response(connected(requests))).is_err() {
        return;
    }
    let mut last_sent = Instant::now();
    loop {
        tokio::select! {
            () = sender.closed() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep_until(last_sent + KEEP_ALIVE) => {
                // One that cannot be sent is no news to a reader that is behind.
                let _ = sender.try_send(response(Message::KeepAlive(KeepAlive { now: wire_now() })));
                last_sent = Instant::now();
                continue;
            }
        }
        let mut missed = 0;
        for message in live.take_pending(*reader).into_messages() {
            match sender.try_send(response(message)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => missed += 1,
                Err(TrySendError::Closed(_)) => return,
            }
        }
        if missed > 0 && catch_up(registration, sender, missed).await.is_none() {
            return;
        }
        last_sent = Instant::now();
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Waits until a slow reader has read something, tells it how many messages it
/// missed, and how things are now. `None`: it left.
async fn catch_up(registration: &Registration, sender: &Sender, missed: u64) -> Option<()> {
    let Registration { live, reader, .. } = registration;
    let mut room = sender.reserve_many(2).await.ok()?;
    let (requests, skipped) = live.snapshot(*reader);
    let messages = missed + skipped.into_messages().len() as u64;
    room.next()?.send(response(Message::Missed(Missed { messages })));
    room.next()?.send(response(connected(requests)));
    Some(())
}

fn connected(requests: Vec<modash_proto::v1::LiveRequest>) -> Message {
    Message::Connected(Connected {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: wire_now(),
        requests,
    })
}

#[allow(clippy::result_large_err, reason = "the item type of the stream")]
fn response(message: Message) -> Result<SubscribeResponse, Status> {
    Ok(SubscribeResponse { message: Some(message) })
}
