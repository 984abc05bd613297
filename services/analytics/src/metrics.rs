//! What analytics counts, under the names that `/metrics` shows.

use std::time::Duration;

use modash_runtime::Metrics;
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use replicas::ReplicaMetrics;
use tonic::Code;

mod replicas;

pub(crate) use replicas::ReplicaCounts;

/// Counters of ingest.
#[derive(Debug, Clone)]
pub(crate) struct IngestMetrics {
    pub(crate) streams: Gauge,
    pub(crate) received: Counter,
    pub(crate) committed: Counter,
    pub(crate) duplicate: Counter,
    pub(crate) rejected: Family<[(&'static str, &'static str); 1], Counter>,
    pub(crate) queued: Gauge,
    pub(crate) commit_seconds: Histogram,
    pub(crate) retries: Counter,
    pub(crate) replicas: ReplicaMetrics,
}

impl IngestMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let replicas = ReplicaMetrics::default();
        metrics.register(
            "analytics_replica_events",
            "Events as the proxies last counted them, by replica and state",
            replicas.gauges.clone(),
        );
        Self {
            replicas,
            streams: metrics.register(
                "analytics_ingest_streams",
                "Streams of proxies that are open",
                Gauge::default(),
            ),
            received: metrics.register(
                "analytics_ingest_received_events",
                "Events received, repeats included",
                Counter::default(),
            ),
            committed: metrics.register(
                "analytics_ingest_committed_events",
                "Events committed for the first time",
                Counter::default(),
            ),
            duplicate: metrics.register(
                "analytics_ingest_duplicate_events",
                "Events that were committed before",
                Counter::default(),
            ),
            rejected: metrics.register(
                "analytics_ingest_rejected_events",
                "Events that will never be stored, by reason",
                Family::default(),
            ),
            queued: metrics.register(
                "analytics_ingest_queued_events",
                "Events received and not yet committed",
                Gauge::default(),
            ),
            commit_seconds: metrics.register(
                "analytics_ingest_commit_seconds",
                "Time of one commit",
                Histogram::new(SECONDS),
            ),
            retries: metrics.register(
                "analytics_ingest_commit_retries",
                "Commits that were tried again",
                Counter::default(),
            ),
        }
    }

    /// Shows how many requests were counted under "other".
    pub(crate) fn show_series_overflow(&self, metrics: &Metrics, overflow: &Counter) {
        metrics.register(
            "analytics_series_overflow_events",
            "Events counted under \"other\" because there were too many series",
            overflow.clone(),
        );
    }
}

/// Counters of the queries.
#[derive(Debug, Clone)]
pub(crate) struct QueryMetrics {
    seconds: Family<[(&'static str, &'static str); 1], Histogram>,
    answers: Family<[(&'static str, &'static str); 2], Counter>,
    pub(crate) subscribers: Gauge,
}

impl QueryMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            seconds: metrics.register(
                "analytics_query_seconds",
                "Time to the answer of a query, by method",
                Family::new_with_constructor(|| Histogram::new(SECONDS)),
            ),
            answers: metrics.register(
                "analytics_queries",
                "Queries answered, by method and gRPC code",
                Family::default(),
            ),
            subscribers: metrics.register(
                "analytics_subscribers",
                "Open subscriptions",
                Gauge::default(),
            ),
        }
    }

    pub(crate) fn answered(&self, method: &'static str, code: Code, took: Duration) {
        self.seconds.get_or_create(&[("method", method)]).observe(took.as_secs_f64());
        let code = modash_proto::ErrorCode::from(code).name();
        self.answers.get_or_create(&[("method", method), ("code", code)]).inc();
    }
}

const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
