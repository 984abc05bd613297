//! Spans that wait for the collector: bounded, and counted where they find no room.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tokio::sync::Notify;

/// The queue between those who make spans and the exporter. Clones share it.
#[derive(Debug, Clone)]
pub struct SpanQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spans: Mutex<VecDeque<SpanData>>,
    most: usize,
    batch: usize,
    exported: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
    full_batch: Notify,
}

/// What became of spans since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Taken by the collector.
    pub exported: u64,
    /// Given up: no room in the queue, or the collector did not take them.
    pub dropped: u64,
    /// Batches that the collector did not take, repeats included.
    pub failures: u64,
    /// Waiting now.
    pub queued: u64,
}

impl SpanQueue {
    pub(crate) fn new(most: usize, batch: usize) -> Self {
        let shared = Shared {
            spans: Mutex::default(),
            most,
            batch,
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            full_batch: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Adds spans; never waits. Those that find no room are counted and gone.
    pub fn add(&self, spans: impl IntoIterator<Item = SpanData>) {
        let Shared { most, batch, dropped, full_batch, .. } = &*self.shared;
        let mut queue = self.spans();
        for span in spans {
            if queue.len() < *most {
                queue.push_back(span);
            } else {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        if queue.len() >= *batch {
            full_batch.notify_one();
        }
    }

    /// Counts since the start.
    #[must_use]
    pub fn counts(&self) -> SpanCounts {
        let queued = self.spans().len() as u64;
        let Shared { exported, dropped, failures, .. } = &*self.shared;
        SpanCounts {
            exported: exported.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            failures: failures.load(Ordering::Relaxed),
            queued,
        }
    }

    /// Returns when a batch is full.
    pub(crate) async fn filled(&self) {
        self.shared.full_batch.notified().await;
    }

    /// The oldest spans, at most a batch.
    pub(crate) fn take(&self) -> Vec<SpanData> {
        let mut queue = self.spans();
        let length = queue.len().min(self.shared.batch);
        queue.drain(..length).collect()
    }

    /// Counts what became of a batch.
    pub(crate) fn note(&self, spans: usize, taken: bool) {
        let Shared { exported, dropped, failures, .. } = &*self.shared;
        let counter = if taken { exported } else { dropped };
        counter.fetch_add(spans as u64, Ordering::Relaxed);
        failures.fetch_add(u64::from(!taken), Ordering::Relaxed);
    }

    fn spans(&self) -> MutexGuard<'_, VecDeque<SpanData>> {
        self.shared.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spans of `tracing`, by way of the SDK.
impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.add([span]);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

    use super::*;

    #[test]
    fn spans_beyond_the_bound_are_counted_one_by_one() {
        let queue = SpanQueue::new(4, 3);
        let tracer = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(queue.clone())
            .build()
            .tracer("test");
        (0..10).for_each(|_| drop(tracer.start("work")));
        assert_eq!(queue.counts(), SpanCounts { queued: 4, dropped: 6, ..SpanCounts::default() });
        let batch = queue.take();
        queue.note(batch.len(), false);
        let batch = queue.take();
        queue.note(batch.len(), true);
        let expected = SpanCounts { queued: 0, dropped: 9, exported: 1, failures: 1 };
        assert_eq!(queue.counts(), expected);
    }
}
