//! What became of the spans and metrics that a process exports.

use modash_telemetry::{ExportCounts, Telemetry};

use super::{Metrics, Row};

pub(super) const ROWS: [Row<ExportCounts>; 6] = [
    Row::counter("modash_telemetry_spans_exported", "Spans that the collector took", |counts| {
        counts.spans.exported
    }),
    Row::counter(
        "modash_telemetry_spans_dropped",
        "Spans given up: no room in the queue, or the collector did not take them",
        |counts| counts.spans.dropped,
    ),
    Row::counter(
        "modash_telemetry_export_failures",
        "Batches of spans that the collector did not take",
        |counts| counts.spans.failures,
    ),
    Row::gauge("modash_telemetry_spans_queued", "Spans that wait for the collector", |counts| {
        counts.spans.queued as f64
    }),
    Row::counter(
        "modash_telemetry_metrics_exported",
        "Batches of metrics that the collector took",
        |counts| counts.metrics.exported,
    ),
    Row::counter(
        "modash_telemetry_metrics_failures",
        "Batches of metrics that the collector did not take; the next has their values too",
        |counts| counts.metrics.failures,
    ),
];

/// Adds them; all are 0 where nothing is exported.
pub(super) fn add(metrics: &Metrics, telemetry: Option<Telemetry>) {
    metrics.add_table(&ROWS, move || telemetry.as_ref().map(Telemetry::counts).unwrap_or_default());
}
