//! The emitting half of the proxy: reads the events of ended requests from the cores'
//! journals, keeps them until analytics has committed them, and tells analytics what
//! runs.
//!
//! cores' `journal` → `keeper` → `spool` in memory → `stream` → analytics, and acks
//! back; what analytics does not take soon → `log`.

mod access_log;
mod allowance;
mod connect;
#[cfg(test)]
mod cost;
mod directory;
mod followers;
mod glance;
pub(crate) mod headroom;
mod interrupted;
mod journal;
mod keeper;
mod live;
mod log;
pub(crate) mod otlp;
mod running;
mod spool;
mod stream;
pub(crate) mod tally;
mod wire;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use modash_access::TokenSource;
use modash_proto::{
    micros_from_duration, micros_from_timestamp, timestamp_from_micros,
    v1::{ReplicaStats, UsageEvent},
};
use modash_runtime::{GrpcTls, Shutdown};
use prost::Message as _;
use tokio::sync::{Notify, mpsc::Sender, oneshot};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    fault::thread_begins,
    usage_event::{EncodedEvent, EventMaker},
    vital::{Death, Vital},
};
pub(crate) use access_log::AccessLog;
pub(crate) use directory::directory_of;
pub(crate) use followers::Followers;
pub(crate) use journal::{Journal, JournalFile};
use keeper::{DiskState, Keeper, SharedSpool};
use live::EndedRequests;
pub(crate) use log::LogConfig;
pub(crate) use running::{Running, Shared};
use spool::{Counts, Spool, WINDOW};

/// How often the journals are read while there is something in them, and while there
/// is nothing. Polling costs the cores no wake-up: a request's own path has no system
/// call for its event.
const COLLECT_EVERY: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(60);

/// How long a stop waits for analytics to come back if nothing is lost without.
const WAIT_FOR_ANALYTICS: Duration = Duration::from_secs(2);

/// Shares of the grace period: for handing over events, and for the last report.
/// The rest is for closing the spool.
const HAND_OVER_SHARE: f64 = 0.12;
const LAST_REPORT_SHARE: f64 = 0.04;

/// What emitting needs.
pub(crate) struct EmitConfig {
    pub(crate) replica_id: String,
    /// Hosts of the upstreams by name.
    pub(crate) upstream_hosts: HashMap<String, String>,
    pub(crate) analytics: Vec<Url>,
    /// For those behind https.
    pub(crate) analytics_tls: Option<GrpcTls>,
    pub(crate) analytics_token: Option<TokenSource>,
    /// Most events that are in memory only.
    pub(crate) events_in_memory: usize,
    /// `None`: in memory only.
    pub(crate) log: Option<LogConfig>,
    /// Where the cores keep their requests.
    pub(crate) journal: Arc<JournalFile>,
    /// Who gets the events too.
    pub(crate) followers: Followers,
}

/// Shared by the keeper, the stream and the metrics.
pub(crate) struct Emitter {
    replica_id: String,
    upstream_hosts: HashMap<String, String>,
    process_started_at: prost_types::Timestamp,
    analytics: Vec<Url>,
    analytics_tls: Option<GrpcTls>,
    analytics_token: Option<TokenSource>,
    cores: Vec<Arc<Shared>>,
    maker: Arc<EventMaker>,
    spool: Arc<SharedSpool>,
    followers: Followers,
    log: Option<LogConfig>,
    journal: Arc<JournalFile>,
    ended: Mutex<EndedRequests>,
    /// A stream is open.
    connected: AtomicBool,
    /// There are new events in the spool.
    appended: Notify,
    /// Events left the spool.
    trimmed: Notify,
    /// The stream is to say its last and end.
    closing: CancellationToken,
}

/// The spool's counters and gauges.
pub(crate) struct SpoolStats {
    pub(crate) counts: Counts,
    pub(crate) disk: DiskState,
    /// Age of the oldest event that is not acknowledged, in seconds.
    pub(crate) oldest_seconds: f64,
}

impl Emitter {
    pub(crate) fn new(config: EmitConfig, cores: Vec<Arc<Shared>>, maker: Arc<EventMaker>) -> Self {
        Self {
            replica_id: config.replica_id,
            upstream_hosts: config.upstream_hosts,
            process_started_at: SystemTime::now().into(),
            analytics: config.analytics,
            analytics_tls: config.analytics_tls,
            analytics_token: config.analytics_token,
            cores,
            maker,
            spool: Arc::new(SharedSpool::new(Spool::new(WINDOW, config.events_in_memory))),
            followers: config.followers,
            log: config.log,
            journal: config.journal,
            ended: Mutex::default(),
            connected: AtomicBool::new(false),
            appended: Notify::new(),
            trimmed: Notify::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Emits until a stop is asked for and the cores have ended (`cores_ended`);
    /// then hands over what is left, reports a last time and closes the spool,
    /// each within its part of the grace period.
    pub(crate) async fn run(
        self: Arc<Self>,
        shutdown: Shutdown,
        cores_ended: impl Future,
        deaths: &Sender<Death>,
    ) -> io::Result<()> {
        let (opened, spool_is_open) = oneshot::channel();
        let keeper = KeeperThread::start(self.clone(), opened, deaths)?;
        let emitter = self.clone();
        let mut stream = tokio::spawn(async move {
            // Sequence numbers go on where the process before ended.
            let _ = spool_is_open.await;
            stream::run(emitter).await;
        });
        let _stream = AbortOnDrop(stream.abort_handle());
        cores_ended.await;
        keeper.collect().await;
        shutdown.request();
        let hand_over = "hand-over of usage events to analytics";
        shutdown.finish_within(HAND_OVER_SHARE, hand_over, self.handed_over()).await;
        self.closing.cancel();
        shutdown.finish_within(LAST_REPORT_SHARE, "last report to analytics", &mut stream).await;
        stream.abort();
        shutdown.finish("spool", keeper.close()).await;
        let followers = self.followers.clone();
        let written = tokio::task::spawn_blocking(move || followers.finish());
        shutdown.finish("access log", written).await;
        self.say_what_is_left();
        Ok(())
    }

    /// Waits until analytics has everything, or what it has not is safe and
    /// analytics is away.
    async fn handed_over(&self) {
        let mut away_since = Instant::now();
        loop {
            let trimmed = self.trimmed.notified();
            if self.spool().pending() == 0 {
                return;
            }
            if self.connected.load(Ordering::Relaxed) {
                away_since = Instant::now();
            }
            let safe = self.spool.disk().durable && self.spool().memory_only() == 0;
            if safe && away_since.elapsed() > WAIT_FOR_ANALYTICS {
                return;
            }
            let _ = tokio::time::timeout(WAIT_FOR_ANALYTICS / 8, trimmed).await;
        }
    }

    fn say_what_is_left(&self) {
        let spool = self.spool();
        let in_memory = spool.memory_only();
        let on_disk = spool.pending().saturating_sub(in_memory);
        if on_disk > 0 && self.log.is_some() {
            tracing::info!(events = on_disk, "usage events wait on disk for the next start");
        }
        if in_memory > 0 {
            let events = in_memory;
            tracing::error!(events, "usage events are lost: analytics did not take them in time");
        }
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock()
    }

    /// Analytics was told that these requests ran, and is told of their ends.
    fn note_ended(&self, events: &[EncodedEvent]) {
        for event in events {
            if let Ok(event) = UsageEvent::decode(event.as_ref()) {
                self.ended().note(&event);
            }
        }
    }

    fn ended(&self) -> MutexGuard<'_, EndedRequests> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counters since the start, all of one moment: they add up as the contract
    /// says.
    pub(crate) fn stats(&self) -> ReplicaStats {
        let sum = |read: fn(&Shared) -> u64| self.cores.iter().map(|core| read(core)).sum::<u64>();
        let spool = self.spool();
        let counts = spool.counts();
        // In this order: what finishes meanwhile is in a core's journal.
        let dropped = sum(|core| core.counters.dropped.load(Ordering::Relaxed));
        let finished = sum(|core| core.counters.finished.load(Ordering::Relaxed));
        let in_journals = finished.saturating_sub(counts.added + dropped);
        let outlives_a_kill = self.journal.file().is_some();
        let in_memory = spool.memory_only() + if outlives_a_kill { 0 } else { in_journals };
        ReplicaStats {
            started: sum(|core| core.counters.started.load(Ordering::Relaxed)),
            finished,
            queued: in_memory,
            spooled: (spool.pending() + in_journals).saturating_sub(in_memory),
            sent: counts.sent,
            acknowledged: counts.acknowledged,
            dropped: counts.dropped + counts.damaged + dropped,
            rejected: counts.rejected,
            oldest_unsent_at: spool.oldest().and_then(made_at),
            recovered: Some(counts.recovered),
            interrupted: Some(counts.interrupted),
            damaged: counts.damaged,
            stopped: false,
        }
    }

    /// Who gets the events too.
    pub(crate) fn followers(&self) -> &Followers {
        &self.followers
    }

    /// What the spool counts beside that.
    pub(crate) fn spool_stats(&self) -> SpoolStats {
        let oldest = self.spool().oldest().and_then(made_at);
        let age = |at| SystemTime::try_from(at).ok()?.elapsed().ok();
        SpoolStats {
            counts: self.spool().counts(),
            disk: self.spool.disk(),
            oldest_seconds: oldest.and_then(age).unwrap_or_default().as_secs_f64(),
        }
    }
}

/// When a request ended.
fn made_at(event: &EncodedEvent) -> Option<prost_types::Timestamp> {
    let event = UsageEvent::decode(event.as_ref()).ok()?;
    let started_at = micros_from_timestamp(event.started_at.as_ref()?)?;
    let duration = event.duration.as_ref().and_then(micros_from_duration).unwrap_or_default();
    Some(timestamp_from_micros(started_at.saturating_add(duration)))
}

/// The thread on which the keeper works. Ends when this is dropped.
struct KeeperThread {
    /// Asks for what the cores have now, and to be told when it is kept.
    requests: SyncSender<oneshot::Sender<()>>,
    thread: JoinHandle<()>,
}

impl KeeperThread {
    fn start(
        emitter: Arc<Emitter>,
        opened: oneshot::Sender<()>,
        deaths: &Sender<Death>,
    ) -> io::Result<Self> {
        const NAME: &str = "modash-spool";
        let vital = Vital::new(NAME, deaths);
        let (requests, asked) = sync_channel::<oneshot::Sender<()>>(1);
        let mut keeper = Keeper::new(
            emitter.spool.clone(),
            emitter.log.clone(),
            &emitter.replica_id,
            emitter.cores.clone(),
            emitter.journal.clone(),
        );
        keeper.show_to(emitter.followers.clone());
        let work = move || {
            keeper.open();
            let _ = opened.send(());
            let (mut pause, mut describe_at) = (COLLECT_EVERY, Instant::now());
            loop {
                thread_begins();
                let request = asked.recv_timeout(pause);
                let collected = keeper.collect();
                emitter.note_ended(&collected.told);
                let more = keeper.tend();
                if more || collected.events > 0 {
                    emitter.appended.notify_one();
                }
                pause = if collected.events > 0 { COLLECT_EVERY } else { LOOK_EVERY };
                if Instant::now() >= describe_at {
                    describe_at = Instant::now() + interrupted::EVERY;
                    interrupted::describe_running(&emitter.cores, &emitter.maker);
                }
                match request {
                    Ok(kept) => drop(kept.send(())),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        keeper.close();
                        return vital.finished();
                    }
                }
            }
        };
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(work)?;
        Ok(Self { requests, thread })
    }

    /// Returns when everything that the cores finished so far is kept.
    async fn collect(&self) {
        let (kept, done) = oneshot::channel();
        // One request at a time: there is always room.
        if self.requests.try_send(kept).is_ok() {
            let _ = done.await;
        }
    }

    async fn close(self) {
        drop(self.requests);
        // Its death is reported by `Vital`.
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await;
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
