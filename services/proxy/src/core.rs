//! What belongs to one core: its pools, its table of requests in flight, its
//! queue of finished ones and its counters. Other threads only read.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_queue::ArrayQueue;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{asking::StreamUsageAid, emit::Slots, exchange::Exchange, route::Router};

/// Finished requests that a core can hold until the emitter fetches them, which
/// it does a hundred times a second.
const QUEUE_LENGTH: usize = 65_536;

/// State of one core.
pub(crate) struct Core {
    /// Where requests go.
    pub(crate) router: Router,
    /// Connections that have left HTTP.
    pub(crate) tunnels: TaskTracker,
    /// What streams without usage get.
    pub(crate) aid: Arc<StreamUsageAid>,
    /// What is shared with other threads.
    pub(crate) shared: Arc<Shared>,
}

/// The part of a core that the emitter and the metrics read.
pub(crate) struct Shared {
    in_flight: Mutex<HashMap<Uuid, Arc<Exchange>>>,
    finished: ArrayQueue<Arc<Exchange>>,
    /// Where requests are remembered in case of a kill.
    pub(crate) slots: Option<Arc<Slots>>,
    /// Counters.
    pub(crate) counters: Counters,
}

/// Counters of one core, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Connections accepted.
    pub(crate) connections: AtomicU64,
    /// Connections that were too many.
    pub(crate) connections_refused: AtomicU64,
    /// Connections that ended before HTTP: no TLS, or no PROXY header.
    pub(crate) handshake_failures: AtomicU64,
    /// Connections that the system did not hand over.
    pub(crate) accept_errors: AtomicU64,
    /// Metered requests whose head arrived.
    pub(crate) started: AtomicU64,
    /// Metered requests that ended.
    pub(crate) finished: AtomicU64,
    /// Finished requests that found the queue full.
    pub(crate) dropped: AtomicU64,
    /// Requests whose metering failed by a defect; they were forwarded all the
    /// same.
    pub(crate) metering_failures: AtomicU64,
    /// Requests that modash itself answered with an error.
    pub(crate) refused: AtomicU64,
    /// Connections to upstreams that were opened.
    pub(crate) upstream_connections: AtomicU64,
    /// Requests that waited because there were as many connections as allowed.
    pub(crate) upstream_waits: AtomicU64,
    /// Requests that waited in vain.
    pub(crate) upstream_busy: AtomicU64,
    /// Requests that were sent again because the first connection had ended.
    pub(crate) upstream_retries: AtomicU64,
}

impl Counters {
    /// Adds one. Mostly only one core writes, so that the cache line stays with it.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(slots: Option<Arc<Slots>>) -> Self {
        Self {
            in_flight: Mutex::default(),
            finished: ArrayQueue::new(QUEUE_LENGTH),
            slots,
            counters: Counters::default(),
        }
    }

    /// A request began.
    pub(crate) fn begin(&self, exchange: &Arc<Exchange>) {
        Counters::add(&self.counters.started);
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(exchange.id, exchange.clone());
    }

    /// A request ended: out of the table, into the queue. Never waits.
    pub(crate) fn end(&self, id: Uuid) {
        Counters::add(&self.counters.finished);
        let exchange = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(exchange) = exchange
            && self.finished.push(exchange).is_err()
        {
            Counters::add(&self.counters.dropped);
        }
    }

    /// The requests in flight.
    pub(crate) fn in_flight(&self) -> Vec<Arc<Exchange>> {
        let table = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        table.values().cloned().collect()
    }

    /// Number of requests in flight.
    pub(crate) fn in_flight_count(&self) -> usize {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The oldest finished request that was not fetched.
    pub(crate) fn next_finished(&self) -> Option<Arc<Exchange>> {
        self.finished.pop()
    }
}
