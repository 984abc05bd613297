//! The requests of a core that run: each stands in the core's table and in its journal,
//! and ends exactly once, whoever is last.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

use super::{Journal, journal::Slot};
#[cfg(test)]
use crate::client_key::Fingerprinter;
use crate::{
    counters::Counters,
    exchange::{Ending, Exchange},
    usage_event::EventMaker,
};

/// The part of a core that the emitter and the metrics read.
pub(crate) struct Shared {
    in_flight: Mutex<HashMap<Uuid, Arc<InFlight>, BuildHasherDefault<IdHash>>>,
    /// Where requests are kept from their begin until analytics has their events.
    pub(crate) journal: Journal,
    /// Makes their events.
    pub(crate) maker: Arc<EventMaker>,
    /// Counters.
    pub(crate) counters: Arc<Counters>,
}

/// An exchange that runs, and where the journal has it until the last one who holds it
/// lets go, which is after its event is in the journal.
pub(crate) struct InFlight {
    exchange: Exchange,
    pub(super) slot: Option<Slot>,
}

/// An id made by modash as its own hash: its end is random.
#[derive(Default)]
struct IdHash(u64);

impl Hasher for IdHash {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(end) = bytes.last_chunk() {
            self.0 = u64::from_be_bytes(*end);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Deref for InFlight {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.exchange
    }
}

impl Shared {
    pub(crate) fn new(journal: Journal, maker: Arc<EventMaker>) -> Self {
        Self { in_flight: Mutex::default(), journal, maker, counters: Arc::default() }
    }

    /// In memory, for tests of what stands before delivery.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Self> {
        let maker = EventMaker::new("replica".to_owned(), Fingerprinter::new(Some(b"secret")));
        Arc::new(Self::new(Journal::for_tests(), Arc::new(maker)))
    }

    /// A request began.
    pub(crate) fn begin(&self, exchange: &Arc<InFlight>) {
        Counters::add(&self.counters.started);
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(exchange.id, exchange.clone());
    }

    /// A request ended: its event goes into the journal. Never waits.
    pub(crate) fn end(&self, exchange: &Exchange) {
        if let Some(finished) = exchange.take_finished() {
            let write = |buffer: &mut Vec<u8>| self.maker.write(exchange, &finished, buffer);
            if self.journal.append(exchange.was_told(), write).is_err() {
                Counters::add(&self.counters.dropped);
            }
        }
        // After the append, so that whoever sees it finished finds its event.
        Counters::add(&self.counters.finished);
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&exchange.id);
    }

    /// The requests in flight.
    pub(crate) fn in_flight(&self) -> Vec<Arc<InFlight>> {
        let table = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        table.values().cloned().collect()
    }

    /// Number of requests in flight.
    pub(crate) fn in_flight_count(&self) -> usize {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The one owner of a running exchange. Dropping it ends the exchange as left by
/// the client, which is what a dropped request is.
pub(crate) struct Running {
    exchange: Arc<InFlight>,
    shared: Arc<Shared>,
    ended: bool,
}

impl Running {
    /// Enters the exchange into its core's table.
    pub(crate) fn begin(exchange: Exchange, shared: Arc<Shared>) -> Self {
        let slot = shared.journal.begin(&exchange);
        let exchange = Arc::new(InFlight { exchange, slot });
        shared.begin(&exchange);
        Self { exchange, shared, ended: false }
    }

    /// The exchange.
    pub(crate) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Ends it. Later calls change nothing.
    pub(crate) fn end(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let exchange = &self.exchange;
        exchange.end(ending);
        self.shared.end(exchange);
        if exchange.metering_failed() {
            Counters::add(&self.shared.counters.metering_failures);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(Ending::ClientClosed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use http::{HeaderMap, StatusCode};
    use modash_proto::v1::{Outcome, UsageEvent, UsageSource};
    use prost::Message as _;

    use super::*;

    fn events(shared: &Shared) -> Vec<UsageEvent> {
        let events = shared.journal.events();
        events.iter().map(|event| UsageEvent::decode(event.as_ref()).unwrap()).collect()
    }

    #[test]
    fn a_defect_in_metering_ends_metering_and_nothing_else() {
        let request = http::Request::post("/v1/chat/completions").body(()).unwrap();
        let (head, ()) = request.into_parts();
        let exchange =
            Exchange::begin(&modash_metering::Head::from(&head), "default".into(), Arc::default());
        let shared = Shared::for_tests();
        let mut running = Running::begin(exchange, shared.clone());
        let exchange = running.exchange();
        crate::fault::break_metering_of_this_thread();
        exchange.request_data(b"{");
        assert!(exchange.metering_failed());
        exchange.response_head(StatusCode::OK, &HeaderMap::new());
        exchange.response_data(b"{}");
        exchange.forwarded(2);
        running.end(Ending::Complete);
        assert_eq!(shared.counters.metering_failures.load(Ordering::Relaxed), 1);
        let event = &events(&shared)[0];
        assert_eq!((event.status, event.outcome()), (Some(200), Outcome::Ok));
        assert_eq!(event.usage_source(), UsageSource::Unparseable);
    }

    #[test]
    fn a_defect_at_the_end_of_metering_is_a_failure_too() {
        let request = http::Request::post("/v1/chat/completions").body(()).unwrap();
        let exchange = Exchange::begin(
            &modash_metering::Head::from(&request.into_parts().0),
            "default".into(),
            Arc::default(),
        );
        let shared = Shared::for_tests();
        let mut running = Running::begin(exchange, shared.clone());
        crate::fault::break_metering_of_this_thread();
        running.end(Ending::Complete);
        assert_eq!(events(&shared)[0].usage_source(), UsageSource::Unparseable);
        assert_eq!(shared.counters.metering_failures.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_exchange_ends_once_and_dropping_it_is_an_end() {
        let (head, ()) = http::Request::get("/").body(()).unwrap().into_parts();
        let shared = Shared::for_tests();
        let exchange =
            Exchange::begin(&modash_metering::Head::from(&head), "default".into(), Arc::default());
        let mut running = Running::begin(exchange, shared.clone());
        assert_eq!(shared.in_flight_count(), 1);
        running.end(Ending::UpstreamBroke);
        drop(running);
        assert_eq!(shared.in_flight_count(), 0);
        let exchange =
            Exchange::begin(&modash_metering::Head::from(&head), "default".into(), Arc::default());
        drop(Running::begin(exchange, shared.clone()));
        let outcomes: Vec<_> = events(&shared).iter().map(UsageEvent::outcome).collect();
        assert_eq!(outcomes, [Outcome::Truncated, Outcome::ClientClosed]);
    }
}
