//! The emitting half of the proxy: fetches finished exchanges from the cores,
//! makes events of them, keeps them until analytics has committed them, and
//! tells analytics what runs.
//!
//! cores' queues → `collect` → `spool` → `stream` → analytics, and acks back.

mod live;
mod spool;
mod stream;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use modash_proto::v1::{ReplicaStats, UsageEvent};
use modash_runtime::Shutdown;
use tokio::{sync::Notify, time::MissedTickBehavior};
use url::Url;

use crate::{core::Shared, usage_event::EventMaker};
use live::EndedRequests;
use spool::Spool;

/// How often the cores' queues are emptied. Polling costs the cores no wake-up:
/// a request's own path has no system call for its event.
const COLLECT_EVERY: Duration = Duration::from_millis(10);

/// What emitting needs.
pub(crate) struct EmitConfig {
    pub(crate) replica_id: String,
    pub(crate) analytics: Vec<Url>,
    pub(crate) spool_events: usize,
}

/// Shared by the collector, the stream and the metrics.
pub(crate) struct Emitter {
    replica_id: String,
    analytics: Vec<Url>,
    cores: Vec<Arc<Shared>>,
    maker: EventMaker,
    spool: Mutex<Spool>,
    ended: Mutex<EndedRequests>,
    /// There are new events in the spool.
    appended: Notify,
    /// Events left the spool.
    trimmed: Notify,
}

impl Emitter {
    pub(crate) fn new(config: EmitConfig, cores: Vec<Arc<Shared>>, maker: EventMaker) -> Self {
        Self {
            replica_id: config.replica_id,
            analytics: config.analytics,
            cores,
            maker,
            spool: Mutex::new(Spool::new(config.spool_events)),
            ended: Mutex::default(),
            appended: Notify::new(),
            trimmed: Notify::new(),
        }
    }

    /// Emits until a stop is asked for and the cores have ended (`cores_ended`);
    /// then hands over what is left, as long as the grace period lasts.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown, cores_ended: impl Future) {
        let stream = tokio::spawn(stream::run(self.clone()));
        tokio::select! {
            () = self.collect_for_ever() => {}
            _ = cores_ended => {}
        }
        self.collect();
        let empty = async {
            loop {
                let trimmed = self.trimmed.notified();
                if self.spool().pending() == 0 {
                    break;
                }
                trimmed.await;
            }
        };
        shutdown.request();
        if shutdown.finish("hand-over of usage events to analytics", empty).await.is_none() {
            let events = self.spool().pending();
            tracing::error!(events, "usage events are lost: analytics did not take them in time");
        }
        stream.abort();
    }

    async fn collect_for_ever(&self) {
        let mut tick = tokio::time::interval(COLLECT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.collect();
        }
    }

    /// Empties the cores' queues into the spool.
    fn collect(&self) {
        let mut appended = false;
        for core in &self.cores {
            while let Some(exchange) = core.next_finished() {
                if let Some(event) = self.maker.event(&exchange) {
                    self.append(event);
                    appended = true;
                }
            }
        }
        if appended {
            self.appended.notify_one();
        }
    }

    fn append(&self, event: UsageEvent) {
        self.ended().note(&event);
        if self.spool().append(Arc::new(event)) {
            // The limit was reached: once per outage is enough to say.
            tracing::warn!("analytics is away for too long; the oldest usage events are given up");
        }
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, EndedRequests> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counters since the start.
    pub(crate) fn stats(&self) -> ReplicaStats {
        let sum = |read: fn(&Shared) -> u64| self.cores.iter().map(|core| read(core)).sum::<u64>();
        let spool = self.spool();
        let counts = spool.counts();
        ReplicaStats {
            started: sum(|core| core.counters.started.load(Ordering::Relaxed)),
            finished: sum(|core| core.counters.finished.load(Ordering::Relaxed)),
            queued: sum(|core| core.finished_count() as u64) + spool.unsent() as u64,
            spooled: spool.pending() as u64,
            sent: counts.sent,
            acknowledged: counts.acknowledged,
            dropped: counts.dropped + sum(|core| core.counters.dropped.load(Ordering::Relaxed)),
            rejected: counts.rejected,
            oldest_unsent_at: spool.oldest().and_then(|event| event.started_at),
        }
    }
}
