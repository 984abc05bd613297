//! Spans that wait for the collector: bounded, and counted where they find no room.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::Notify;

/// The queue between those who make spans and the exporter.
#[derive(Debug)]
pub struct SpanQueue {
    spans: Mutex<VecDeque<SpanData>>,
    most: usize,
    batch: usize,
    exported: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
    full_batch: Notify,
}

/// What became of spans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Taken by the collector.
    pub exported: u64,
    /// Given up: no room in the queue, or the collector did not take them.
    pub dropped: u64,
    /// Requests to the collector that failed.
    pub failures: u64,
    /// Waiting now.
    pub queued: u64,
}

impl SpanQueue {
    pub(crate) fn new(most: usize, batch: usize) -> Self {
        Self {
            spans: Mutex::default(),
            most,
            batch,
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            full_batch: Notify::new(),
        }
    }

    /// Adds spans; never waits. Those that find no room are counted and gone.
    pub fn add(&self, spans: impl IntoIterator<Item = SpanData>) {
        let mut queue = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for span in spans {
            if queue.len() < self.most {
                queue.push_back(span);
            } else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        if queue.len() >= self.batch {
            self.full_batch.notify_one();
        }
    }

    /// Counts since the start.
    pub fn counts(&self) -> SpanCounts {
        let queued = self.spans.lock().unwrap_or_else(PoisonError::into_inner).len();
        SpanCounts {
            exported: self.exported.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            queued: queued as u64,
        }
    }

    /// Returns when a batch is full.
    pub(crate) async fn filled(&self) {
        self.full_batch.notified().await;
    }

    /// The oldest spans, at most a batch.
    pub(crate) fn take(&self) -> Vec<SpanData> {
        let mut queue = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let length = queue.len().min(self.batch);
        queue.drain(..length).collect()
    }

    pub(crate) fn note(&self, spans: usize, taken: bool) {
        let counter = if taken { &self.exported } else { &self.dropped };
        counter.fetch_add(spans as u64, Ordering::Relaxed);
        if !taken {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}
