//! What the gateway counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use http::StatusCode;
use modash_runtime::{
    ConnectionCount, Description, Metrics, NoPlace, Row, metric_table, refused_handshakes,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

metric_table! {
    /// Counters and gauges of the gateway. Clones share them.
    pub(crate) struct GatewayMetrics {
        answers: Family<Answer, Counter> = Family::default(),
            counter "modash_gateway_responses" ["surface", "status"]
            "Answers by surface and HTTP status";
        pub(crate) event_streams: Gauge<i64> = Gauge::default(),
            gauge "modash_gateway_event_streams" []
            "Open streams of live events: /events, and Subscribe without a filter";
        pub(crate) slow_readers: Counter = Counter::default(),
            counter "modash_gateway_slow_readers" []
            "Times that a reader of live events was too slow: its stream of /events ended, or messages of Subscribe were left out";
        no_places: Family<NoPlaces, Counter> = Family::default(),
            counter "modash_gateway_places_refused" ["surface", "bound"]
            "Streams of live events and calls of grpc-web refused because all places were taken, or those of the caller";
        pub(crate) events: Counter = Counter::default(),
            counter "modash_gateway_events" []
            "Events made for /events";
        pub(crate) subscribed: Gauge<u64, AtomicU64> = Gauge::default(),
            gauge "modash_gateway_subscribed" []
            "Subscriptions through which live events arrive: one, or with tokens one for each token that reads";
    }
}

const WAITING: [Row<usize>; 1] = [Row::gauge(
    "modash_gateway_event_waiting_bytes",
    "Size of the live events that wait for readers",
    |bytes| *bytes as f64,
)];

/// Connections of browsers and clients.
pub(crate) const CONNECTIONS: [Description; 2] = ConnectionCount::descriptions(
    "modash_gateway_connections",
    "modash_gateway_connections_refused",
);

/// Clients with which there was no TLS.
pub(crate) const REFUSED_HANDSHAKES: Description =
    refused_handshakes("modash_gateway_tls_handshakes_refused");

/// Adds the bytes that wait for readers of `/events`.
pub(crate) fn add_waiting(metrics: &Metrics, bytes: Arc<AtomicUsize>) {
    metrics.add_table(&WAITING, move || bytes.load(Ordering::Relaxed));
}

/// What is said of every metric of the gateway.
pub(crate) fn descriptions() -> Vec<Description> {
    let tables = [GatewayMetrics::DESCRIPTIONS, &CONNECTIONS, &[REFUSED_HANDSHAKES]].concat();
    tables.into_iter().chain(WAITING.iter().map(|row| row.about)).collect()
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    surface: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoPlaces {
    surface: &'static str,
    bound: &'static str,
}

impl GatewayMetrics {
    /// Notes that there was no place for a caller.
    pub(crate) fn no_place(&self, surface: &'static str, none: NoPlace) {
        self.no_places(surface, none).inc();
    }

    /// Shows that there was a place for everybody: a count that is not there cannot be
    /// seen to grow from 0.
    pub(crate) fn show_places(&self, surfaces: [&'static str; 2]) {
        for surface in surfaces {
            for none in [NoPlace::All, NoPlace::Share] {
                self.no_places(surface, none);
            }
        }
    }

    fn no_places(&self, surface: &'static str, none: NoPlace) -> Counter {
        let bound = match none {
            NoPlace::All => "all",
            NoPlace::Share => "caller",
        };
        self.no_places.get_or_create(&NoPlaces { surface, bound }).clone()
    }

    /// Notes an answer.
    pub(crate) fn answered(&self, surface: &'static str, status: StatusCode) {
        self.answers.get_or_create(&Answer { surface, status: status.as_u16() }).inc();
    }
}

/// Adds 1 to a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge<i64>);

impl Counted {
    /// Begins to count.
    pub(crate) fn new(gauge: &Gauge<i64>) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
