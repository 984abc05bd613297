//! Counts that proxies report, by replica. The number of labels is limited; further
//! replicas share the label `other`.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use modash_proto::v1::ReplicaStats;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, family::Family, gauge::Gauge},
};

/// Limit of replicas with a label of their own.
const MOST: usize = 256;

/// The label of replicas beyond the limit.
const OTHER: &str = "other";

/// Counts of a report.
const STATES: usize = 11;

/// Gauges of all replicas: each is the sum over open streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplicaMetrics {
    gauges: Family<[(&'static str, String); 2], Gauge>,
    /// Open streams by label.
    streams: Arc<Mutex<HashMap<String, usize>>>,
}

impl EncodeMetric for ReplicaMetrics {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.gauges.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.gauges.is_empty()
    }
}

/// What one stream adds to the gauges, until it ends.
#[derive(Debug)]
pub(crate) struct ReplicaCounts {
    metrics: ReplicaMetrics,
    label: String,
    last: [(&'static str, i64); STATES],
}

impl ReplicaMetrics {
    /// A stream of a replica begins.
    pub(crate) fn open(&self, replica_id: &str) -> ReplicaCounts {
        let mut streams = self.streams();
        let own = streams.len() < MOST || streams.contains_key(replica_id);
        let label = if own { replica_id } else { OTHER }.to_owned();
        *streams.entry(label.clone()).or_default() += 1;
        drop(streams);
        let last = states(&ReplicaStats::default());
        ReplicaCounts { metrics: self.clone(), label, last }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplicaCounts {
    /// Replaces what this stream adds by the proxy's last report.
    pub(crate) fn set(&mut self, stats: &ReplicaStats) {
        for ((state, last), (_, now)) in self.last.iter_mut().zip(states(stats)) {
            let labels = labels(&self.label, state);
            self.metrics.gauges.get_or_create(&labels).inc_by(now.saturating_sub(*last));
            *last = now;
        }
    }
}

impl Drop for ReplicaCounts {
    fn drop(&mut self) {
        self.set(&ReplicaStats::default());
        let mut streams = self.metrics.streams();
        let open = streams.get_mut(&self.label).map_or(0, |open| {
            *open -= 1;
            *open
        });
        if open == 0 {
            streams.remove(&self.label);
            for (state, _) in self.last {
                self.metrics.gauges.remove(&labels(&self.label, state));
            }
        }
    }
}

fn labels(replica: &str, state: &str) -> [(&'static str, String); 2] {
    [("replica", replica.to_owned()), ("state", state.to_owned())]
}

fn states(stats: &ReplicaStats) -> [(&'static str, i64); STATES] {
    [
        ("started", stats.started),
        ("finished", stats.finished),
        ("queued", stats.queued),
        ("spooled", stats.spooled),
        ("sent", stats.sent),
        ("acknowledged", stats.acknowledged),
        ("dropped", stats.dropped),
        ("rejected", stats.rejected),
        ("damaged", stats.damaged),
        ("recovered", stats.recovered.unwrap_or_default()),
        ("interrupted", stats.interrupted.unwrap_or_default()),
    ]
    // Sums of several streams stay far from the end of the range.
    .map(|(state, count)| (state, count.min(1 << 53).cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(metrics: &ReplicaMetrics, replica: &str) -> Option<i64> {
        metrics.gauges.get(&labels(replica, "finished")).map(|gauge| gauge.get())
    }

    fn report(finished: u64) -> ReplicaStats {
        ReplicaStats { finished, ..ReplicaStats::default() }
    }

    #[test]
    fn replicas_beyond_the_limit_share_a_label() {
        let metrics = ReplicaMetrics::default();
        let mut open: Vec<_> = (0..10_000).map(|at| metrics.open(&format!("r{at}"))).collect();
        open.iter_mut().for_each(|counts| counts.set(&report(2)));
        assert_eq!(metrics.streams().len(), MOST + 1);
        assert_eq!(finished(&metrics, "r0"), Some(2));
        assert_eq!(finished(&metrics, "r9999"), None);
        assert_eq!(finished(&metrics, OTHER), Some(2 * (10_000 - MOST as i64)));
        drop(open);
        assert_eq!((finished(&metrics, "r0"), finished(&metrics, OTHER)), (None, None));
    }

    #[test]
    fn a_stream_that_ends_takes_nothing_from_a_newer_one_of_its_replica() {
        let metrics = ReplicaMetrics::default();
        let mut old = metrics.open("a");
        old.set(&report(7));
        let mut new = metrics.open("a");
        new.set(&report(8));
        drop(old);
        assert_eq!(finished(&metrics, "a"), Some(8));
        new.set(&report(3));
        assert_eq!(finished(&metrics, "a"), Some(3));
    }
}
