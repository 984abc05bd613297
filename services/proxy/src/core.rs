//! What belongs to one core: its pools, its table of requests in flight, its
//! journal and its counters. Other threads only read.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use uuid::Uuid;

#[cfg(test)]
use crate::client_key::Fingerprinter;
use crate::{
    asking::StreamUsageAid, emit::Journal, exchange::Exchange, route::Router,
    usage_event::EventMaker,
};

/// State of one core.
pub(crate) struct Core {
    /// Where requests go.
    pub(crate) router: Router,
    /// What streams without usage get.
    pub(crate) aid: Arc<StreamUsageAid>,
    /// What is shared with other threads.
    pub(crate) shared: Arc<Shared>,
}

/// The part of a core that the emitter and the metrics read.
pub(crate) struct Shared {
    in_flight: Mutex<HashMap<Uuid, Arc<Exchange>>>,
    /// Where requests are kept from their begin until analytics has their events.
    pub(crate) journal: Journal,
    /// Makes their events.
    pub(crate) maker: Arc<EventMaker>,
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
    /// Finished requests whose events found no room.
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
    pub(crate) fn new(journal: Journal, maker: Arc<EventMaker>) -> Self {
        Self { in_flight: Mutex::default(), journal, maker, counters: Counters::default() }
    }

    /// In memory, for tests of what stands before delivery.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Self> {
        let maker = EventMaker::new("replica".to_owned(), Fingerprinter::new(Some(b"secret")));
        Arc::new(Self::new(Journal::for_tests(), Arc::new(maker)))
    }

    /// A request began.
    pub(crate) fn begin(&self, exchange: &Arc<Exchange>) {
        Counters::add(&self.counters.started);
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(exchange.id, exchange.clone());
    }

    /// A request ended: its event goes into the journal. Never waits.
    pub(crate) fn end(&self, exchange: &Exchange) {
        if let Some(event) = self.maker.event(exchange)
            && self.journal.append(&event, exchange.was_told()).is_err()
        {
            Counters::add(&self.counters.dropped);
        }
        // After the append, so that whoever sees it finished finds its event.
        Counters::add(&self.counters.finished);
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&exchange.id);
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
}
