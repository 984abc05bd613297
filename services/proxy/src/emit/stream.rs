//! The stream to analytics: one at a time, opened again with growing pauses,
//! at the next address when one fails.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use modash_proto::v1::{Hello, ReplicaStats, StreamUsageResponse, stream_usage_response};
use modash_runtime::GrpcTls;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use url::Url;

use super::{
    Emitter,
    allowance::{self, Allowance},
    connect::{ConnectError, KEEP_ALIVE, connect},
    live,
    otlp::Deliveries,
    spool::{Place, Renumbered, WINDOW},
    wire::{self, Batch, Request, Say},
};

/// Events in one batch: far below the contract's limit of number.
const BATCH: usize = 1_000;

/// Bytes of the events in one batch: below the contract's limit of 4 MiB with room for
/// the length of each.
const BATCH_BYTES: usize = 2 << 20;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("cannot connect: {0}")]
    Connect(#[from] ConnectError),
    #[error("{}: {}", .0.code().description(), .0.message())]
    Status(#[from] Status),
    #[error("{0}")]
    Token(String),
    #[error("analytics closed the stream")]
    Closed,
    #[error(transparent)]
    Renumbered(#[from] Renumbered),
}

/// Streams until the emitter closes.
pub(super) async fn run(emitter: Arc<Emitter>) {
    let mut pause = FIRST_PAUSE;
    let mut failing = false;
    let mut allowance = Allowance::new(WINDOW);
    for url in emitter.analytics.iter().cycle() {
        let opened = Instant::now();
        let opening = emitter.closing.run_until_cancelled(open(&emitter, url));
        let error = match opening.await {
            None => return,
            Some(Ok(stream)) => {
                tracing::info!(analytics = %url, "streaming usage events");
                failing = false;
                emitter.connected.store(true, Ordering::Relaxed);
                let ended = stream.run(&mut allowance).await;
                emitter.connected.store(false, Ordering::Relaxed);
                let Err(error) = ended else { return };
                error
            }
            Some(Err(error)) => error,
        };
        let status = if let StreamError::Status(status) = &error { Some(status) } else { None };
        if allowance.after(&mut emitter.spool(), &emitter.replica_id, status) {
            pause = FIRST_PAUSE;
        }
        if matches!(error, StreamError::Renumbered(_)) {
            tokio::time::sleep(FIRST_PAUSE).await;
            continue;
        }
        // One line each outage, not each attempt.
        if !std::mem::replace(&mut failing, true) {
            let tls = emitter.analytics_tls.as_ref().and_then(GrpcTls::problem);
            let error = tls.unwrap_or_else(|| error.to_string());
            if status.is_some_and(is_refusal) {
                tracing::warn!(analytics = %url, error,
                    "usage events wait: analytics refuses them; proxying goes on");
            } else {
                tracing::warn!(analytics = %url, error,
                    "usage events wait: analytics cannot be reached; proxying goes on");
            }
        }
        if opened.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        let waiting = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0)));
        if emitter.closing.run_until_cancelled(waiting).await.is_none() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether analytics was reached and says no.
fn is_refusal(status: &tonic::Status) -> bool {
    use tonic::Code::{FailedPrecondition, InvalidArgument, PermissionDenied, Unauthenticated};
    let code = status.code();
    matches!(code, FailedPrecondition | InvalidArgument | PermissionDenied | Unauthenticated)
}

/// An open stream.
struct UsageStream {
    emitter: Arc<Emitter>,
    place: Place,
    up: mpsc::Sender<Request>,
    down: Streaming<StreamUsageResponse>,
    live: live::LiveView,
    /// `None`: traces are off.
    deliveries: Option<Deliveries>,
    /// Analytics asked for a pause until then.
    paused_until: Instant,
}

async fn open(emitter: &Arc<Emitter>, url: &Url) -> Result<UsageStream, StreamError> {
    let channel = connect(url, emitter.analytics_tls.as_ref()).await?;
    let authorization = match &emitter.analytics_token {
        Some(source) => Some(source.authorization().map_err(StreamError::Token)?),
        None => None,
    };
    let (up, messages) = mpsc::channel(8);
    let place = emitter.spool().rewind();
    let hello = Hello {
        replica_id: emitter.replica_id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        next_sequence: place.next_sequence,
        process_started_at: Some(emitter.process_started_at),
        upstream_hosts: emitter.upstream_hosts.clone(),
    };
    // The channel is new and empty, so this cannot wait.
    let _ = up.send(request(Say::Hello(hello))).await;
    let down = wire::open(channel, ReceiverStream::new(messages), authorization).await?;
    Ok(UsageStream {
        emitter: emitter.clone(),
        place,
        up,
        down,
        live: live::LiveView::new(),
        deliveries: emitter.followers.otlp.as_ref().and_then(|otlp| otlp.deliveries()),
        paused_until: Instant::now(),
    })
}

impl UsageStream {
    /// Sends and receives until the emitter closes, or the stream breaks.
    async fn run(mut self, allowance: &mut Allowance) -> Result<(), StreamError> {
        if let Some(probe) = allowance.probe() {
            self.paused_until = Instant::now() + probe;
        }
        let mut updates = interval(live::UPDATE_EVERY);
        updates.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stats = interval(Duration::from_secs(1));
        stats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let emitter = self.emitter.clone();
        loop {
            let appended = emitter.appended.notified();
            self.send_events(allowance.events()).await?;
            tokio::select! {
                message = self.down.message() => match message {
                    Ok(Some(message)) => {
                        if self.receive(message) {
                            allowance.taken();
                        }
                    }
                    Ok(None) => return Err(StreamError::Closed),
                    Err(status) => return Err(status.into()),
                },
                () = emitter.closing.cancelled() => {
                    self.report_and_end().await;
                    return Ok(());
                }
                () = appended => {}
                () = sleep_until(self.paused_until), if self.is_paused() => {}
                _ = updates.tick() => self.live.update(&self.emitter),
                Ok(place) = self.up.clone().reserve_owned(), if self.live.is_waiting() => {
                    if let Some(update) = self.live.next() {
                        place.send(request(Say::Live(update)));
                    }
                }
                _ = stats.tick() => {
                    let stats = self.emitter.stats();
                    let _ = self.up.try_send(request(Say::Stats(stats)));
                }
            }
        }
    }

    /// Reports a last time; analytics ends the stream when it has read that.
    async fn report_and_end(mut self) {
        let stats = ReplicaStats { stopped: true, ..self.emitter.stats() };
        let _ = self.up.send(request(Say::Stats(stats))).await;
        drop(std::mem::replace(&mut self.up, mpsc::channel(1).0));
        while let Ok(Some(message)) = self.down.message().await {
            self.receive(message);
        }
    }

    fn is_paused(&self) -> bool {
        self.paused_until > Instant::now()
    }

    /// Sends what there is, with at most so many under way.
    async fn send_events(&mut self, window: usize) -> Result<(), StreamError> {
        while !self.is_paused() {
            // Acks must not wait behind a full channel, so the place comes first.
            let Ok(place) = self.up.try_reserve() else {
                return if self.up.is_closed() { Err(self.broken().await) } else { Ok(()) };
            };
            let mut spool = self.emitter.spool();
            let (first_sequence, events) =
                spool.next_batch(self.place, BATCH, BATCH_BYTES, window)?;
            let refusals = allowance::refusal(&spool, first_sequence).into_iter().collect();
            drop(spool);
            if events.is_empty() {
                break;
            }
            let traceparent = self
                .deliveries
                .as_mut()
                .map(|deliveries| deliveries.sending(first_sequence, &events))
                .unwrap_or_default();
            let batch = Batch { first_sequence, events, refusals, traceparent };
            place.send(request(Say::Batch(batch)));
        }
        Ok(())
    }

    /// The reason why the sending half is closed.
    async fn broken(&mut self) -> StreamError {
        match self.down.message().await {
            Err(status) => status.into(),
            Ok(_) => StreamError::Closed,
        }
    }

    /// True if analytics has taken events.
    fn receive(&mut self, message: StreamUsageResponse) -> bool {
        match message.message {
            Some(stream_usage_response::Message::Ack(ack)) => {
                self.emitter.spool().acknowledge(self.place, ack.sequence);
                if let Some(deliveries) = &mut self.deliveries {
                    deliveries.acknowledged(ack.sequence);
                }
                self.emitter.trimmed.notify_waiters();
                return true;
            }
            Some(stream_usage_response::Message::Reject(reject)) => {
                self.emitter.spool().note_rejected();
                tracing::warn!(
                    event_id = reject.event_id,
                    reason = reject.reason,
                    "analytics refused a usage event; it is in quarantine there"
                );
            }
            Some(stream_usage_response::Message::SlowDown(slow_down)) => {
                let pause = slow_down.pause.unwrap_or_default();
                let pause = Duration::try_from(pause).unwrap_or_default().min(KEEP_ALIVE);
                self.paused_until = Instant::now() + pause;
            }
            // A newer analytics may say more.
            None => {}
        }
        false
    }
}

fn request(say: Say) -> Request {
    Request { say: Some(say) }
}
