//! What analytics counts, under the names that `/metrics` shows.

use std::{sync::Arc, time::Duration};

use modash_runtime::{
    ConnectionCount, Description, Metrics, Row, metric_table, refused_handshakes,
};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use replicas::ReplicaMetrics;
use tonic::Code;

use crate::{filter::Filter, ingest::Queue, live::Live, store::Store};

mod budgets;
mod replicas;

pub(crate) use budgets::BudgetMetrics;
pub(crate) use replicas::ReplicaCounts;

type By<const LABELS: usize, M> = Family<[(&'static str, &'static str); LABELS], M>;

metric_table! {
    /// Counters of ingest.
    pub(crate) struct IngestMetrics {
        pub(crate) replicas: ReplicaMetrics = ReplicaMetrics::default(),
            gauge "modash_analytics_replica_events" ["replica", "state"]
            "Events as the proxies last counted them, by replica and state";
        pub(crate) streams: Gauge = Gauge::default(),
            gauge "modash_analytics_ingest_streams" []
            "Streams of proxies that are open";
        pub(crate) received: Counter = Counter::default(),
            counter "modash_analytics_ingest_received_events" []
            "Events received, repeats included";
        pub(crate) committed: Counter = Counter::default(),
            counter "modash_analytics_ingest_committed_events" []
            "Events committed for the first time";
        pub(crate) duplicate: Counter = Counter::default(),
            counter "modash_analytics_ingest_duplicate_events" []
            "Events that were committed before";
        pub(crate) rejected: By<1, Counter> = Family::default(),
            counter "modash_analytics_ingest_rejected_events" ["reason"]
            "Events that will never be stored, by reason";
        pub(crate) queue_wait: Histogram = Histogram::new(SECONDS),
            histogram "modash_analytics_ingest_queue_wait_seconds" []
            "Time from a batch's arrival to its commit";
        pub(crate) commit: Histogram = Histogram::new(SECONDS),
            histogram "modash_analytics_ingest_commit_duration_seconds" []
            "Time of one commit";
        pub(crate) retries: Counter = Counter::default(),
            counter "modash_analytics_ingest_commit_retries" []
            "Commits that were tried again";
    }
}

metric_table! {
    /// Counters of the queries.
    pub(crate) struct QueryMetrics {
        duration: Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram> =
            Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram),
            histogram "modash_analytics_query_duration_seconds" ["method"]
            "Time to the answer of a query, by method";
        answers: By<2, Counter> = Family::default(),
            counter "modash_analytics_queries" ["method", "code"]
            "Queries answered, by method and gRPC code";
        pub(crate) subscribers: Gauge = Gauge::default(),
            gauge "modash_analytics_subscribers" []
            "Open subscriptions";
    }
}

impl QueryMetrics {
    pub(crate) fn answered(&self, method: &'static str, code: Code, took: Duration) {
        self.duration.get_or_create(&[("method", method)]).observe(took.as_secs_f64());
        let code = modash_proto::ErrorCode::from(code).name();
        self.answers.get_or_create(&[("method", method), ("code", code)]).inc();
    }
}

/// Upper bounds of the buckets, in seconds.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The parts whose state is read at each scrape.
pub(crate) struct State {
    pub(crate) queue: Queue,
    pub(crate) live: Arc<Live>,
    pub(crate) store: Arc<Store>,
}

const STATE: [Row<Arc<State>>; 8] = [
    Row::gauge(
        "modash_analytics_ingest_queued_events",
        "Events received and not yet committed",
        |state| state.queue.len() as f64,
    ),
    Row::gauge(
        "modash_analytics_ingest_queue_capacity_events",
        "Events that may be received and not yet committed; beyond it streams wait",
        |_| f64::from(Queue::CAPACITY),
    ),
    Row::gauge("modash_analytics_requests_in_flight", "Requests that proxies serve now", |state| {
        state.live.in_flight(&Filter::default()) as f64
    }),
    Row::gauge(
        "modash_analytics_database_connections",
        "Connections to PostgreSQL that are open",
        |state| state.store.connections().0 as f64,
    ),
    Row::gauge(
        "modash_analytics_database_idle_connections",
        "Connections to PostgreSQL that wait for work",
        |state| state.store.connections().1 as f64,
    ),
    Row::gauge(
        "modash_analytics_read_replica_used",
        "Whether the read replica answers queries: 1, or 0 while it is away or too far behind, or where there is none",
        |state| f64::from(state.store.read_replica().is_some_and(|(used, _)| used)),
    ),
    Row::gauge(
        "modash_analytics_read_replica_lag_seconds",
        "How far the read replica is behind, as last seen; 0 where there is none",
        |state| state.store.read_replica().map_or(0.0, |(_, lag)| lag.as_secs_f64()),
    ),
    Row::counter(
        "modash_analytics_series_overflow_events",
        "Events counted under \"other\" because there were too many series",
        |state| state.store.series_overflow(),
    ),
];

/// Connections of proxies, gateways and others.
pub(crate) const CONNECTIONS: [Description; 2] = ConnectionCount::descriptions(
    "modash_analytics_connections",
    "modash_analytics_connections_refused",
);

/// Clients with which there was no TLS.
pub(crate) const REFUSED_HANDSHAKES: Description =
    refused_handshakes("modash_analytics_tls_handshakes_refused");

/// Adds what is read from the parts at each scrape.
pub(crate) fn add_state(metrics: &Metrics, state: State) {
    let state = Arc::new(state);
    metrics.add_table(&STATE, move || state.clone());
}

/// What is said of every metric of analytics.
pub(crate) fn descriptions() -> Vec<Description> {
    let tables = [
        IngestMetrics::DESCRIPTIONS,
        QueryMetrics::DESCRIPTIONS,
        BudgetMetrics::DESCRIPTIONS,
        &CONNECTIONS,
        &[REFUSED_HANDSHAKES],
    ];
    tables.concat().into_iter().chain(STATE.iter().map(|row| row.about)).collect()
}
