//! What became of exports: failures are counted, and logged once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};

/// What became of batches of metrics. What is in a batch that failed is in the next one,
/// as all values count from the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricCounts {
    /// Those that the collector took.
    pub exported: u64,
    /// Those that it did not take.
    pub failures: u64,
}

/// Writes one line when a collector begins to fail, and one when it is back.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    failing: bool,
}

impl Reported {
    pub(crate) fn report(&mut self, what: &'static str, problem: Option<String>) {
        let was_failing = std::mem::replace(&mut self.failing, problem.is_some());
        match problem {
            Some(error) if !was_failing => tracing::warn!(
                error,
                "the collector does not take {what}; they are dropped and counted until it does"
            ),
            None if was_failing => tracing::info!("the collector takes {what} again"),
            _ => {}
        }
    }
}

/// Counts batches of metrics.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    exported: AtomicU64,
    failures: AtomicU64,
}

impl Batches {
    fn note(&self, taken: bool) {
        let counter = if taken { &self.exported } else { &self.failures };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> MetricCounts {
        MetricCounts {
            exported: self.exported.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

/// An exporter of metrics whose failures are counted, and logged once.
pub(crate) struct Watched {
    exporter: MetricExporter,
    batches: Arc<Batches>,
    state: Mutex<Reported>,
}

impl Watched {
    /// Counts into `batches`.
    pub(crate) fn new(exporter: MetricExporter, batches: Arc<Batches>) -> Self {
        Self { exporter, batches, state: Mutex::default() }
    }
}

impl PushMetricExporter for Watched {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let exported = self.exporter.export(metrics).await;
        self.batches.note(exported.is_ok());
        let problem = exported.as_ref().err().map(ToString::to_string);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).report("metrics", problem);
        exported
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
