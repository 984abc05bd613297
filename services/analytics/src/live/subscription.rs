//! One `Subscribe` stream: `connected` first, then folded changes at most every
//! 250 ms; a reader that is too slow is told how much it missed and gets a new
//! `connected`. Messages are encoded once for all readers of an audience.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use modash_access::Scope;
use modash_proto::{
    Reason, Violations,
    v1::{
        Connected, KeepAlive, LiveRequest, Missed, SubscribeRequest, SubscribeResponse,
        subscribe_response::Message,
    },
};
use prometheus_client::metrics::gauge::Gauge;
use prost::Message as _;
use tokio::{
    sync::Notify,
    time::{Instant, Sleep},
};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use super::{
    Live, Topics,
    mailbox::{Mailbox, Taken},
    state::State,
    wire_now,
};
use crate::filter::{Facts, Filter};

/// Least time between two messages of a kind.
const INTERVAL: Duration = Duration::from_millis(250);

/// The same for each open subscription: all of them together get at most 1,000
/// messages of a kind each second, whose cost would else be ingest's.
const INTERVAL_OF_EACH: Duration = Duration::from_millis(1);

/// Longest silence.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Subscriptions at the same time.
pub(crate) const MAX_SUBSCRIPTIONS: usize = 2_048;

/// Largest snapshot: gRPC clients refuse messages of more than 4 MiB.
const MAX_SNAPSHOT_BYTES: usize = 3 * 1024 * 1024;

/// An open subscription; its items are encoded `SubscribeResponse`s. It leaves its
/// audience when it is dropped.
pub(crate) struct Subscription {
    live: Arc<Live>,
    audience: u64,
    reader: u64,
    mailbox: Arc<Mailbox>,
    open: Gauge,
    deadline: Option<Pin<Box<Sleep>>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    next: Next,
}

/// What comes next in a subscription.
enum Next {
    /// How things are at the time of subscribing.
    First(Bytes),
    /// What is in the mailbox.
    Mail,
    /// How things are now, after messages were missed.
    Snapshot,
    /// Nothing more.
    End,
}

impl Live {
    /// Opens a stream of changes, which ends after `deadline` if there is one.
    #[allow(clippy::result_large_err, reason = "the status is the answer of the call")]
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        request: SubscribeRequest,
        scope: &Scope,
        deadline: Option<Duration>,
        open: Gauge,
    ) -> Result<Subscription, Status> {
        let mut violations = Violations::default();
        let filter = Filter::from_wire(request.filter, scope, &mut violations);
        let topics = Topics::from_wire(&request.topics);
        if topics.is_none() {
            violations.add("topics", "has one that is not known to this version");
        }
        violations.into_result()?;
        let Some(topics) = topics else { return Err(Status::internal("no topics")) };
        if self.stop.is_cancelled() {
            return Err(Reason::Stopping.status("analytics is stopping; try again"));
        }
        let reader = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(Arc::clone(&self.waiting_bytes)));
        // Under one lock: no change between the snapshot and the first message is
        // lost.
        let (audience, wake, first) = {
            let mut state = self.state();
            let (audience, wake) =
                state.audiences.join(filter, topics, reader, Arc::clone(&mailbox));
            (audience, wake, connected(&state, audience))
        };
        if let Some(wake) = wake {
            self.tasks.spawn(tell(Arc::clone(self), audience, wake));
        }
        open.inc();
        Ok(Subscription {
            live: Arc::clone(self),
            audience,
            reader,
            mailbox,
            open,
            deadline: deadline.map(|deadline| Box::pin(tokio::time::sleep(deadline))),
            stopped: Box::pin(self.stop.clone().cancelled_owned()),
            next: Next::First(encode(Message::Connected(first))),
        })
    }
}

/// Tells the readers of an audience what changed, until there are none.
async fn tell(live: Arc<Live>, audience: u64, wake: Arc<Notify>) {
    let mut told_at = Instant::now();
    loop {
        let changed = tokio::select! {
            () = live.stop.cancelled() => return,
            () = wake.notified() => true,
            () = tokio::time::sleep_until(told_at + KEEP_ALIVE) => false,
        };
        let (pending, readers, all) = {
            let mut state = live.state();
            let all = u32::try_from(state.audiences.readers()).unwrap_or(u32::MAX);
            let Some(audience) = state.audiences.get_mut(audience) else { return };
            let readers: Vec<Arc<Mailbox>> = audience.readers.values().cloned().collect();
            (std::mem::take(&mut audience.pending), readers, all)
        };
        let told_usage = pending.has_usage();
        for message in pending.into_messages().into_iter().map(encode) {
            readers.iter().for_each(|reader| reader.push(&message));
        }
        told_at = Instant::now();
        if changed {
            let interval = INTERVAL.max(INTERVAL_OF_EACH * all);
            let rested = tokio::time::sleep_until(told_at + interval);
            if told_usage {
                rested.await;
            } else {
                // Where only running requests were told, a commit does not wait.
                tokio::select! {
                    () = rested => {}
                    () = commit(&live, audience) => {}
                }
            }
        } else {
            let message = encode(Message::KeepAlive(KeepAlive { now: wire_now() }));
            readers.iter().for_each(|reader| reader.push_if_empty(&message));
        }
    }
}

/// Waits for a commit that an audience was not told of.
async fn commit(live: &Live, audience: u64) {
    loop {
        let committed = {
            let state = live.state();
            match state.audiences.get(audience) {
                Some(audience) if !audience.pending.has_usage() => Arc::clone(&audience.committed),
                _ => return,
            }
        };
        // It may be the signal of a commit that was told already.
        committed.notified().await;
    }
}

/// All running requests that an audience wants to see, newest first.
fn connected(state: &State, audience: u64) -> Connected {
    let (mut requests, mut truncated): (Vec<LiveRequest>, bool) = Default::default();
    if let Some(audience) = state.audiences.get(audience)
        && audience.topics.request_state
    {
        let mut passing: Vec<&LiveRequest> = state
            .running
            .values()
            .map(|running| &running.request)
            .filter(|request| audience.filter.passes(&Facts::of_live(request)))
            .collect();
        passing.sort_unstable_by(|a, b| b.event_id.cmp(&a.event_id));
        let mut bytes = 0;
        let fitting = passing.iter().take_while(|request| {
            bytes += request.encoded_len() + 8;
            bytes <= MAX_SNAPSHOT_BYTES
        });
        requests = fitting.map(|&request| request.clone()).collect();
        truncated = requests.len() < passing.len();
    }
    Connected {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: wire_now(),
        requests,
        truncated,
    }
}

fn encode(message: Message) -> Bytes {
    SubscribeResponse { message: Some(message) }.encode_to_vec().into()
}

impl Subscription {
    /// Why the subscription ends now, whether the reader has read all or not.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Reason::Stopping.status("analytics is stopping; try again"));
        }
        match &mut self.deadline {
            Some(deadline) => deadline
                .as_mut()
                .poll(context)
                .map(|()| Reason::AnswerTooSlow.status("the deadline of the subscription passed")),
            None => Poll::Pending,
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if matches!(self.next, Next::End) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(status) = self.poll_end(context) {
            self.next = Next::End;
            return Poll::Ready(Some(Err(status)));
        }
        let message = match std::mem::replace(&mut self.next, Next::Mail) {
            Next::First(message) => message,
            Next::Snapshot => {
                let connected = connected(&self.live.state(), self.audience);
                encode(Message::Connected(connected))
            }
            Next::Mail | Next::End => match ready!(self.mailbox.poll_take(context)) {
                Taken::Message(message) => message,
                Taken::Missed(messages) => {
                    self.next = Next::Snapshot;
                    encode(Message::Missed(Missed { messages }))
                }
            },
        };
        Poll::Ready(Some(Ok(message)))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.live.state().audiences.leave(self.audience, self.reader);
        self.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use uuid::Uuid;

    use super::*;
    use crate::live::{Commits, state::Source};

    async fn next(subscription: &mut Subscription) -> Message {
        let bytes = subscription.next().await.unwrap().unwrap();
        SubscribeResponse::decode(bytes).unwrap().message.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_is_told_at_once_where_only_running_requests_were_told() {
        let live = Arc::new(Live::new());
        let request = SubscribeRequest::default();
        let subscription =
            live.subscribe(request, &Scope::default(), None, Gauge::default()).unwrap();
        let mut subscription = subscription;
        assert!(matches!(next(&mut subscription).await, Message::Connected(_)));
        let id = Uuid::now_v7();
        let change = |content_events| {
            let request = LiveRequest { content_events, ..LiveRequest::default() };
            live.state().put(id, request, Source::stream(1));
        };
        change(1);
        assert!(matches!(next(&mut subscription).await, Message::RequestStateUpdated(_)));
        // The clock stands still while something has yet to be done.
        let told = Instant::now();
        change(2);
        let commits = Commits { requests: 1, oldest_started_at: Some(0) };
        live.state().audiences.tell_commits(commits);
        assert!(matches!(next(&mut subscription).await, Message::RequestStateUpdated(_)));
        assert!(matches!(next(&mut subscription).await, Message::UsageUpdated(_)));
        assert_eq!(told.elapsed(), Duration::ZERO);
        live.state().audiences.tell_commits(commits);
        assert!(matches!(next(&mut subscription).await, Message::UsageUpdated(_)));
        assert_eq!(told.elapsed(), INTERVAL);
    }
}
