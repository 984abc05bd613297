//! What the gateway counts.

use std::sync::atomic::AtomicU64;

use http::StatusCode;
use modash_runtime::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// Counters and gauges of the gateway. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct GatewayMetrics {
    answers: Family<Answer, Counter>,
    /// Streams of `/events` that are open.
    pub(crate) event_streams: Gauge<i64>,
    /// Streams that were ended because their reader was too slow.
    pub(crate) slow_readers: Counter,
    /// Events made for the streams.
    pub(crate) events: Counter,
    /// 1 while the gateway gets live events from analytics, else 0.
    pub(crate) subscribed: Gauge<u64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    surface: &'static str,
    status: u16,
}

impl GatewayMetrics {
    /// Adds them to the metrics of the process.
    pub(crate) fn register(&self, metrics: &Metrics) {
        metrics.register(
            "gateway_responses",
            "Answers by surface and HTTP status",
            self.answers.clone(),
        );
        metrics.register(
            "gateway_event_streams",
            "Open streams of /events",
            self.event_streams.clone(),
        );
        metrics.register(
            "gateway_slow_readers",
            "Streams of /events ended because the reader was too slow",
            self.slow_readers.clone(),
        );
        metrics.register("gateway_events", "Events made for /events", self.events.clone());
        metrics.register(
            "gateway_subscribed",
            "1 while live events arrive from analytics",
            self.subscribed.clone(),
        );
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
