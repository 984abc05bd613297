//! What the load generator counts and measures.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use modash_histogram::Histogram;

/// How one exchange went.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange {
    /// From sending to the response head.
    pub(super) head: Duration,
    /// From sending to the first bytes of the body, if it has any.
    pub(super) first_byte: Option<Duration>,
    /// Pauses between pieces of the body.
    pub(super) gaps: Vec<Duration>,
    /// Pieces in which the body came.
    pub(super) pieces: u64,
    pub(super) bytes: u64,
}

/// How an exchange failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("the exchange broke off: {0}")]
    Broken(String),
    #[error("no complete answer in time")]
    Timeout,
    #[error("status {0}")]
    Status(u16),
    #[error("the body differs from the expected one at byte {0}")]
    Mismatch(u64),
}

/// Durations, by quantile.
#[derive(Debug, Clone, Default)]
pub(super) struct Durations {
    /// In microseconds.
    histogram: Histogram,
    sum: Duration,
    max: Duration,
}

impl Durations {
    pub(super) fn record(&mut self, duration: Duration) {
        self.histogram.record(duration.as_secs_f64() * 1e6);
        self.sum += duration;
        self.max = self.max.max(duration);
    }

    fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// Milliseconds below which this share of them lie, within 2 %.
    pub(super) fn quantile_ms(&self, share: f64) -> Option<f64> {
        // The highest bucket may reach beyond the highest value.
        self.histogram.quantile(share).map(|microseconds| (microseconds / 1e3).min(self.max_ms()))
    }

    pub(super) fn max_ms(&self) -> f64 {
        self.max.as_secs_f64() * 1e3
    }

    pub(super) fn mean_ms(&self) -> Option<f64> {
        let count = self.histogram.count();
        (count > 0).then(|| self.sum.as_secs_f64() * 1e3 / count as f64)
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// From when the request was due to the last byte of the answer.
    pub(super) latency: Durations,
    /// From when it was sent.
    pub(super) service: Durations,
    pub(super) head: Durations,
    pub(super) first_byte: Durations,
    pub(super) gaps: Durations,
    pub(super) pieces: u64,
    pub(super) bytes: u64,
    pub(super) failures: BTreeMap<Failure, u64>,
    answered: u64,
}

impl Meters {
    /// Exchanges with a complete and right answer.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    pub(super) fn record(
        &mut self,
        latency: Duration,
        service: Duration,
        result: Result<Exchange, Failure>,
    ) {
        let exchange = match result {
            Ok(exchange) => exchange,
            Err(failure) => {
                *self.failures.entry(failure).or_default() += 1;
                return;
            }
        };
        self.answered += 1;
        self.latency.record(latency);
        self.service.record(service);
        self.head.record(exchange.head);
        if let Some(first_byte) = exchange.first_byte {
            self.first_byte.record(first_byte);
        }
        exchange.gaps.iter().for_each(|gap| self.gaps.record(*gap));
        self.pieces += exchange.pieces;
        self.bytes += exchange.bytes;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.head.merge(&other.head);
        self.first_byte.merge(&other.first_byte);
        self.gaps.merge(&other.gaps);
        self.pieces += other.pieces;
        self.bytes += other.bytes;
        self.answered += other.answered;
        for (failure, count) in &other.failures {
            *self.failures.entry(failure.clone()).or_default() += count;
        }
    }
}

/// How far a load is; read while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    /// Requests with a complete and right answer so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Requests that failed so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(super) fn count(&self, answered: bool) {
        let counter = if answered { &self.answered } else { &self.failed };
        counter.fetch_add(1, Relaxed);
    }
}
