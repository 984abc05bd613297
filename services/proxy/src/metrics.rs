//! The proxy's metrics, read from the cores' counters when they are asked for.

use std::sync::{Arc, atomic::Ordering};

use modash_runtime::Metrics;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use crate::emit::{Emitter, Shared, SpoolStats};

/// Registers everything that the proxy counts.
pub(crate) fn register(metrics: &Metrics, cores: Vec<Arc<Shared>>, emitter: Arc<Emitter>) {
    metrics.register_collector(Box::new(ProxyMetrics { cores, emitter }));
}

struct ProxyMetrics {
    cores: Vec<Arc<Shared>>,
    emitter: Arc<Emitter>,
}

impl std::fmt::Debug for ProxyMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProxyMetrics")
    }
}

impl Collector for ProxyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let sum = |read: fn(&Shared) -> u64| self.cores.iter().map(|core| read(core)).sum::<u64>();
        let stats = self.emitter.stats();
        let SpoolStats { counts, disk, oldest_seconds } = self.emitter.spool_stats();
        let counters = [
            (
                "connections",
                "Client connections accepted",
                sum(|core| core.counters.connections.load(Ordering::Relaxed)),
            ),
            (
                "connections_refused",
                "Client connections beyond the most allowed, answered with 503 or closed",
                sum(|core| core.counters.connections_refused.load(Ordering::Relaxed)),
            ),
            (
                "handshake_failures",
                "Client connections that ended before HTTP: no TLS or no PROXY header",
                sum(|core| core.counters.handshake_failures.load(Ordering::Relaxed)),
            ),
            (
                "accept_errors",
                "Failures to accept a connection, for want of file descriptors mostly",
                sum(|core| core.counters.accept_errors.load(Ordering::Relaxed)),
            ),
            ("requests_started", "Metered requests whose head arrived", stats.started),
            ("requests_finished", "Metered requests that ended", stats.finished),
            (
                "requests_refused",
                "Requests that were not forwarded",
                sum(|core| core.counters.refused.load(Ordering::Relaxed)),
            ),
            (
                "upstream_connections",
                "Connections to upstreams that were opened",
                sum(|core| core.counters.upstream_connections.load(Ordering::Relaxed)),
            ),
            (
                "upstream_waits",
                "Requests that waited for a connection because the most allowed were open",
                sum(|core| core.counters.upstream_waits.load(Ordering::Relaxed)),
            ),
            (
                "upstream_busy",
                "Requests answered with 503 because no connection became free",
                sum(|core| core.counters.upstream_busy.load(Ordering::Relaxed)),
            ),
            (
                "upstream_retries",
                "Requests sent again because the upstream had closed the connection",
                sum(|core| core.counters.upstream_retries.load(Ordering::Relaxed)),
            ),
            (
                "metering_failures",
                "Requests whose metering failed by a defect",
                sum(|core| core.counters.metering_failures.load(Ordering::Relaxed)),
            ),
            ("events_sent", "Usage events handed to a stream, repeats included", stats.sent),
            (
                "events_acknowledged",
                "Usage events committed or rejected by analytics",
                stats.acknowledged,
            ),
            ("events_rejected", "Usage events refused by analytics for good", stats.rejected),
            ("events_dropped", "Usage events given up, damaged ones included", stats.dropped),
            ("events_damaged", "Usage events whose record on disk was damaged", counts.damaged),
            ("events_recovered", "Usage events left by the process before", counts.recovered),
            (
                "requests_interrupted",
                "Requests that ran when the process before was killed",
                counts.interrupted,
            ),
            ("spool_failures", "Writes to the spool that failed", disk.failures),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let name = format!("proxy_{name}");
            counter.encode(encoder.encode_descriptor(
                &name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        let gauges = [
            ("requests_in_flight", "Requests in flight", sum(|core| core.in_flight_count() as u64)),
            (
                "events_queued",
                "Usage events in memory only that were not acknowledged yet",
                stats.queued,
            ),
            (
                "events_spooled",
                "Usage events on disk that were not acknowledged yet",
                stats.spooled,
            ),
            ("spool_bytes", "Size of the usage events on disk", disk.bytes),
            ("spool_durable", "1 if usage events are kept on disk", u64::from(disk.durable)),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let name = format!("proxy_{name}");
            gauge.encode(encoder.encode_descriptor(&name, help, None, gauge.metric_type())?)?;
        }
        let gauge = ConstGauge::new(oldest_seconds);
        gauge.encode(encoder.encode_descriptor(
            "proxy_oldest_event_seconds",
            "Age of the oldest usage event that was not acknowledged yet",
            None,
            gauge.metric_type(),
        )?)?;
        Ok(())
    }
}
