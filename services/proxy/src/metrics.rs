//! The proxy's metrics, read from the cores' counters when they are asked for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use modash_proto::v1::ReplicaStats;
use modash_runtime::{Description, Metrics, RefusedHandshakes, Row, refused_handshakes};
use modash_telemetry::Telemetry;

use crate::{
    counters::Counters,
    emit::{
        Emitter, Shared, SpoolStats,
        headroom::{self, HeadroomMetrics},
        tally::{self, TallyMetrics},
    },
};

/// What is counted, at one moment.
struct Now {
    cores: Arc<[Arc<Shared>]>,
    stats: ReplicaStats,
    spool: SpoolStats,
    access_log_dropped: u64,
}

impl Now {
    /// Sum of a counter over all cores.
    fn sum(&self, counter: fn(&Counters) -> &AtomicU64) -> u64 {
        self.cores.iter().map(|core| counter(&core.counters).load(Ordering::Relaxed)).sum()
    }
}

const ROWS: [Row<Now>; 28] = [
    Row::counter("modash_proxy_connections", "Client connections accepted", |now| {
        now.sum(|counters| &counters.connections)
    }),
    Row::counter(
        "modash_proxy_connections_refused",
        "Client connections beyond the most allowed, answered with 503 or closed",
        |now| now.sum(|counters| &counters.connections_refused),
    ),
    Row::counter(
        "modash_proxy_handshake_failures",
        "Client connections that ended before HTTP: no TLS or no PROXY header",
        |now| now.sum(|counters| &counters.handshake_failures),
    ),
    Row::counter(
        "modash_proxy_accept_errors",
        "Failures to accept a connection, for want of file descriptors mostly",
        |now| now.sum(|counters| &counters.accept_errors),
    ),
    Row::counter("modash_proxy_requests_started", "Metered requests whose head arrived", |now| {
        now.stats.started
    }),
    Row::counter("modash_proxy_requests_finished", "Metered requests that ended", |now| {
        now.stats.finished
    }),
    Row::counter("modash_proxy_requests_refused", "Requests that were not forwarded", |now| {
        now.sum(|counters| &counters.refused)
    }),
    Row::counter(
        "modash_proxy_requests_interrupted",
        "Requests that ran when the process before was killed",
        |now| now.spool.counts.interrupted,
    ),
    Row::counter(
        "modash_proxy_upstream_connections",
        "Connections to upstreams that were opened",
        |now| now.sum(|counters| &counters.upstream_connections),
    ),
    Row::counter(
        "modash_proxy_upstream_waits",
        "Requests that waited for a connection because the most allowed were open",
        |now| now.sum(|counters| &counters.upstream_waits),
    ),
    Row::counter(
        "modash_proxy_upstream_busy",
        "Requests answered with 503 because no connection became free",
        |now| now.sum(|counters| &counters.upstream_busy),
    ),
    Row::counter(
        "modash_proxy_upstream_retries",
        "Requests sent again because the upstream had closed the connection",
        |now| now.sum(|counters| &counters.upstream_retries),
    ),
    Row::counter(
        "modash_proxy_metering_failures",
        "Requests whose metering failed by a defect",
        |now| now.sum(|counters| &counters.metering_failures),
    ),
    Row::counter(
        "modash_proxy_events_sent",
        "Usage events handed to a stream, repeats included",
        |now| now.stats.sent,
    ),
    Row::counter(
        "modash_proxy_events_acknowledged",
        "Usage events committed or rejected by analytics",
        |now| now.stats.acknowledged,
    ),
    Row::counter(
        "modash_proxy_events_rejected",
        "Usage events refused by analytics for good",
        |now| now.stats.rejected,
    ),
    Row::counter(
        "modash_proxy_events_dropped",
        "Usage events given up, damaged ones included",
        |now| now.stats.dropped,
    ),
    Row::counter(
        "modash_proxy_events_damaged",
        "Usage events whose record on disk was damaged",
        |now| now.spool.counts.damaged,
    ),
    Row::counter(
        "modash_proxy_events_recovered",
        "Usage events left by the process before",
        |now| now.spool.counts.recovered,
    ),
    Row::counter("modash_proxy_spool_failures", "Writes to the spool that failed", |now| {
        now.spool.disk.failures
    }),
    Row::counter(
        "modash_proxy_access_log_dropped_lines",
        "Lines of the access log for which there was no room",
        |now| now.access_log_dropped,
    ),
    Row::gauge("modash_proxy_requests_in_flight", "Requests in flight", |now| {
        now.cores.iter().map(|core| core.in_flight_count() as f64).sum()
    }),
    Row::gauge(
        "modash_proxy_events_queued",
        "Usage events in memory only that were not acknowledged yet",
        |now| now.stats.queued as f64,
    ),
    Row::gauge(
        "modash_proxy_events_spooled",
        "Usage events on disk that were not acknowledged yet",
        |now| now.stats.spooled as f64,
    ),
    Row::gauge(
        "modash_proxy_oldest_event_age_seconds",
        "Age of the oldest usage event that was not acknowledged yet",
        |now| now.spool.oldest_seconds,
    ),
    Row::gauge("modash_proxy_spool_bytes", "Size of the usage events on disk", |now| {
        now.spool.disk.bytes as f64
    }),
    Row::gauge("modash_proxy_spool_durable", "1 if usage events are kept on disk", |now| {
        f64::from(u8::from(now.spool.disk.durable))
    }),
    Row::gauge(
        "modash_proxy_journal_bytes",
        "Size of the usage events in the journals that are kept nowhere else yet",
        |now| now.cores.iter().map(|core| core.journal.bytes() as f64).sum(),
    ),
];

const REFUSED_HANDSHAKES: Description = refused_handshakes("modash_proxy_tls_handshakes_refused");

/// Adds everything that the proxy counts.
pub(crate) fn add(
    metrics: &Metrics,
    refused: RefusedHandshakes,
    cores: &[Arc<Shared>],
    emitter: &Arc<Emitter>,
    telemetry: Option<&Telemetry>,
) {
    metrics.add_process("proxy", telemetry);
    metrics.add(&REFUSED_HANDSHAKES, refused);
    metrics.add_collector(Box::new(TallyMetrics(emitter.followers().tally.clone())));
    metrics.add_collector(Box::new(HeadroomMetrics(emitter.followers().headroom.clone())));
    let (cores, emitter) = (Arc::<[_]>::from(cores), emitter.clone());
    metrics.add_table(&ROWS, move || Now {
        cores: cores.clone(),
        stats: emitter.stats(),
        spool: emitter.spool_stats(),
        access_log_dropped: emitter.followers().access_log.as_ref().map_or(0, |log| log.dropped()),
    });
}

/// What is said of every metric of the proxy.
pub(crate) fn descriptions() -> Vec<Description> {
    let rows = ROWS.iter().map(|row| row.about).chain([REFUSED_HANDSHAKES]);
    let others = tally::descriptions().iter().chain(headroom::descriptions());
    rows.chain(others.copied()).collect()
}
