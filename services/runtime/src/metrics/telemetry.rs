//! What became of the spans of a process.

use modash_telemetry::{SpanCounts, Telemetry};

use super::{Metrics, Row};

pub(super) const ROWS: [Row<SpanCounts>; 4] = [
    Row::counter("modash_telemetry_spans_exported", "Spans that the collector took", |counts| {
        counts.exported
    }),
    Row::counter(
        "modash_telemetry_spans_dropped",
        "Spans given up: no room in the queue, or the collector did not take them",
        |counts| counts.dropped,
    ),
    Row::counter(
        "modash_telemetry_export_failures",
        "Batches of spans that the collector did not take",
        |counts| counts.failures,
    ),
    Row::gauge("modash_telemetry_spans_queued", "Spans that wait for the collector", |counts| {
        counts.queued as f64
    }),
];

/// Adds them; all are 0 where no traces are exported.
pub(super) fn add(metrics: &Metrics, telemetry: Option<Telemetry>) {
    metrics.add_table(&ROWS, move || {
        telemetry.as_ref().map(Telemetry::span_counts).unwrap_or_default()
    });
}
