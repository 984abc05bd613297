//! One stream of one proxy: hello, then batches with contiguous sequence
//! numbers, reports of what runs, and counters.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use modash_access::Pass;
use modash_proto::{
    MAX_EVENTS_PER_BATCH, Reason, clean_text, duration_from_micros, micros_from_timestamp,
    v1::{
        Ack, EventBatch, Hello, LiveRequest, Refusal, Reject, ReplicaStats, SlowDown,
        StreamUsageRequest, StreamUsageResponse, UsageEvent, stream_usage_request::Message as Up,
        stream_usage_response::Message as Down,
    },
};
use modash_telemetry::TraceContext;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tonic::{Status, Streaming};

use super::{
    Ingest,
    owner::{self, Owner},
    queue::{Batch, LateReject},
};
use crate::{
    metrics::ReplicaCounts,
    pricing,
    store::{Misplaced, Refused, Report, Row, Run},
};

/// Batches of one stream that wait for their commit: many, so that proxies with
/// small batches can still report what runs while the database is away.
const UNACKNOWLEDGED_BATCHES: usize = 4_096;

/// Longest id of a replica and longest version in bytes; what is longer is cut.
const MAX_REPLICA_ID: usize = 128;
const MAX_VERSION: usize = 64;

/// Most upstreams of a proxy whose hosts are remembered.
const MAX_UPSTREAMS: usize = 1_000;

/// Longest reason in bytes why a proxy sends a stand-in; what is longer is cut.
const MAX_REASON: usize = 256;

/// How long a proxy is asked to pause, and how often at most.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_INTERVAL: Duration = Duration::from_secs(1);

type Answers = mpsc::Sender<Result<StreamUsageResponse, Status>>;

/// A batch that was queued: what to say once it is committed.
struct Awaited {
    /// Highest sequence number of the batch.
    last_sequence: u64,
    /// Events that were refused at once.
    rejects: Vec<Reject>,
    committed: oneshot::Receiver<Vec<LateReject>>,
}

/// What a stream remembers.
struct Intake<'a> {
    ingest: &'a Ingest,
    run: Arc<Run>,
    version: String,
    /// Hosts of the upstreams by name.
    upstream_hosts: HashMap<String, String>,
    counts: ReplicaCounts,
    next_sequence: u64,
    awaited: mpsc::Sender<Awaited>,
    answers: Answers,
    paused_at: Option<Instant>,
}

impl Ingest {
    /// Serves a stream to its end.
    pub(super) async fn run_stream(
        &self,
        mut incoming: Streaming<StreamUsageRequest>,
        pass: &Pass,
        answers: Answers,
    ) {
        let (awaited, acknowledge) = mpsc::channel(UNACKNOWLEDGED_BATCHES);
        let acknowledging = acknowledge_in_order(acknowledge, answers.clone());
        let taking_in = async {
            let taken = self.take_in(&mut incoming, pass, awaited, answers.clone());
            tokio::select! {
                result = taken => result,
                () = self.shutdown.requested() => {
                    Err(Reason::Stopping.status("analytics is stopping; try again"))
                }
            }
        };
        // Taking in drops its end of the channel: what was queued is still
        // acknowledged before the stream ends.
        let (result, ()) = tokio::join!(taking_in, acknowledging);
        if let Err(status) = result {
            let _ = answers.send(Err(status)).await;
        }
    }

    async fn take_in(
        &self,
        incoming: &mut Streaming<StreamUsageRequest>,
        pass: &Pass,
        awaited: mpsc::Sender<Awaited>,
        answers: Answers,
    ) -> Result<(), Status> {
        let Some(hello) = incoming.message().await? else { return Ok(()) };
        let mut hello = check_hello(hello)?;
        clean_text(&mut hello.replica_id, MAX_REPLICA_ID);
        clean_text(&mut hello.version, MAX_VERSION);
        // Costs of the others are unknown, which is no reason to lose their events.
        let hosts = std::mem::take(&mut hello.upstream_hosts);
        hello.upstream_hosts = hosts.into_iter().take(MAX_UPSTREAMS).collect();
        if !pass.may_send_for(&hello.replica_id) {
            return Err(Status::permission_denied(format!(
                "hello.replica_id: the token {} is bound to other replicas",
                pass.name().unwrap_or_default()
            )));
        }
        let owner = Owner::new(&self.store, pass, &hello.replica_id);
        let mut claim = std::pin::pin!(owner.claim(&self.access, pass));
        // Before anything is believed that the stream says, if the database answers.
        let mut claimed = match tokio::time::timeout(owner::PATIENCE, claim.as_mut()).await {
            Ok(claimed) => claimed.map(|()| true)?,
            Err(_) => false,
        };
        tracing::info!(
            replica = hello.replica_id,
            version = hello.version,
            next_sequence = hello.next_sequence,
            "proxy connected"
        );
        let mut intake = Intake {
            ingest: self,
            run: Arc::new(run_of(&hello)),
            counts: self.metrics.replicas.open(&hello.replica_id),
            version: hello.version,
            upstream_hosts: hello.upstream_hosts,
            next_sequence: hello.next_sequence,
            awaited,
            answers,
            paused_at: None,
        };
        let mut reporter = self.live.reporter();
        loop {
            let message = tokio::select! {
                message = incoming.message() => message?,
                result = claim.as_mut(), if !claimed => {
                    result?;
                    claimed = true;
                    continue;
                }
                // The proxy is gone, which reading alone may not tell.
                () = intake.answers.closed() => return Ok(()),
            };
            match message.map(|message| message.message) {
                None => return Ok(()),
                Some(Some(Up::Batch(batch))) => {
                    if intake.take_batch(batch).await?.is_break() {
                        return Ok(());
                    }
                }
                Some(Some(Up::Live(mut update))) => {
                    update.requests.iter_mut().for_each(LiveRequest::clean);
                    reporter.update(update);
                }
                Some(Some(Up::Stats(stats))) if claimed => intake.take_stats(stats),
                Some(Some(Up::Stats(_))) => {}
                Some(Some(Up::Hello(_))) => {
                    return Err(Status::invalid_argument("hello must be the first message only"));
                }
                // A message that a newer proxy added.
                Some(None) => {}
            }
        }
    }
}

#[allow(clippy::result_large_err, reason = "the status ends the stream")]
fn check_hello(request: StreamUsageRequest) -> Result<Hello, Status> {
    match request.message {
        Some(Up::Hello(hello)) if !hello.replica_id.is_empty() => Ok(hello),
        Some(Up::Hello(_)) => Err(Status::invalid_argument("hello.replica_id: must not be empty")),
        _ => Err(Status::invalid_argument("the first message must be hello")),
    }
}

fn run_of(hello: &Hello) -> Run {
    let started_at = hello.process_started_at.as_ref().and_then(micros_from_timestamp);
    Run {
        replica_id: hello.replica_id.as_str().into(),
        process_started_at: started_at
            .and_then(DateTime::from_timestamp_micros)
            .unwrap_or(DateTime::UNIX_EPOCH),
    }
}

impl Intake<'_> {
    /// Checks and queues a batch; waits while the queue is full, and so does the
    /// proxy then.
    async fn take_batch(&mut self, batch: EventBatch) -> Result<ControlFlow<()>, Status> {
        if batch.first_sequence != self.next_sequence {
            return Err(Status::invalid_argument(format!(
                "batch.first_sequence: must be {}, the one after the last event, and is {}",
                self.next_sequence, batch.first_sequence
            )));
        }
        if batch.events.len() > MAX_EVENTS_PER_BATCH {
            return Err(Status::invalid_argument(format!(
                "batch.events: must be at most {MAX_EVENTS_PER_BATCH}"
            )));
        }
        if batch.events.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        self.next_sequence += batch.events.len() as u64;
        self.ingest.metrics.received.inc_by(batch.events.len() as u64);
        let (batch, awaited) = self.check_batch(batch);
        // The order of answers is that of this channel.
        if self.awaited.send(awaited).await.is_err()
            || self.ingest.queue.push(batch).await.is_none()
        {
            return Ok(ControlFlow::Break(()));
        }
        self.ask_for_a_pause();
        Ok(ControlFlow::Continue(()))
    }

    /// Tells what can be stored from what never can.
    fn check_batch(&self, batch: EventBatch) -> (Batch, Awaited) {
        let mut rows = Vec::with_capacity(batch.events.len());
        let mut refused = Vec::new();
        let mut rejects = Vec::new();
        let delivery = TraceContext::from_traceparent(batch.traceparent.as_bytes());
        let mut sequence = batch.first_sequence;
        let mut unreadable: HashMap<u64, Refusal> =
            batch.refusals.into_iter().map(|refusal| (refusal.sequence, refusal)).collect();
        let prices = self.ingest.prices.now();
        for mut event in batch.events {
            let mut refuse = |event: UsageEvent, unreadable, reason: String| {
                let (event_id, run) = (event.event_id.clone(), Some(self.run.clone()));
                rejects.push(Reject { sequence, event_id, reason: reason.clone() });
                refused.push(Refused { run, event, unreadable, reason });
            };
            if let Some(mut refusal) = unreadable.remove(&sequence) {
                self.count_reject("unreadable");
                clean_text(&mut refusal.reason, MAX_REASON);
                refuse(event, Some(refusal.event), refusal.reason);
                sequence += 1;
                continue;
            }
            let host = self.upstream_hosts.get(&event.upstream);
            pricing::price(&prices, &mut event, host.map(String::as_str));
            match Row::new(event, Some(&self.run)) {
                Ok(row) if *row.event.replica_id != *self.run.replica_id => {
                    self.count_reject("foreign_replica");
                    let reason = "replica_id is not that of hello".to_owned();
                    refuse(*row.event, None, reason);
                }
                Ok(row) => match self.ingest.store.place(row.started_at) {
                    Ok(()) => rows.push((row, sequence)),
                    Err(misplaced) => {
                        self.count_reject(match misplaced {
                            Misplaced::TooOld => "too_old",
                            Misplaced::TooNew => "too_new",
                        });
                        refuse(*row.event, None, misplaced.to_string());
                    }
                },
                Err((event, reason)) => {
                    self.count_reject("invalid");
                    refuse(event, None, reason);
                }
            }
            sequence += 1;
        }
        let (committed, receiver) = oneshot::channel();
        let awaited = Awaited { last_sequence: sequence - 1, rejects, committed: receiver };
        (Batch { rows, refused, arrived: Instant::now(), delivery, committed }, awaited)
    }

    fn take_stats(&mut self, stats: ReplicaStats) {
        self.counts.set(&stats);
        let (version, reported_at) = (self.version.clone(), Utc::now());
        self.ingest.reports.note(&self.run, Report { version, reported_at, stats });
    }

    fn count_reject(&self, reason: &'static str) {
        self.ingest.metrics.rejected.get_or_create(&[("reason", reason)]).inc();
    }

    fn ask_for_a_pause(&mut self) {
        let just_asked = self.paused_at.is_some_and(|at| at.elapsed() < PAUSE_INTERVAL);
        if self.ingest.queue.is_long() && !just_asked {
            self.paused_at = Some(Instant::now());
            let pause = i64::try_from(PAUSE.as_micros()).unwrap_or(i64::MAX);
            let slow_down = SlowDown { pause: Some(duration_from_micros(pause)) };
            // It is advice: a proxy that does not read it slows down anyhow.
            let _ = self.answers.try_send(response(Down::SlowDown(slow_down)));
        }
    }
}

/// Answers each batch when it is committed, the first one first. Ends with the
/// first batch that will not be committed: its events stay with the proxy.
async fn acknowledge_in_order(mut awaited: mpsc::Receiver<Awaited>, answers: Answers) {
    while let Some(batch) = awaited.recv().await {
        let Ok(late) = batch.committed.await else { return };
        let late = late.into_iter().map(|late| Reject {
            sequence: late.sequence,
            event_id: late.event_id,
            reason: late.reason,
        });
        let mut rejects: Vec<Reject> = batch.rejects.into_iter().chain(late).collect();
        rejects.sort_unstable_by_key(|reject| reject.sequence);
        let rejects = rejects.into_iter().map(Down::Reject);
        let ack = Down::Ack(Ack { sequence: batch.last_sequence });
        for answer in rejects.chain([ack]) {
            if answers.send(response(answer)).await.is_err() {
                return;
            }
        }
    }
}

#[allow(clippy::result_large_err, reason = "the item type of the stream")]
fn response(message: Down) -> Result<StreamUsageResponse, Status> {
    Ok(StreamUsageResponse { message: Some(message) })
}
