//! Percentiles from histograms, in the units of the contract: each within 2 % of
//! the value at the nearest rank.

use modash_histogram::Histogram;
use modash_proto::v1::{DurationPercentiles, RatePercentiles};

use crate::rollup::RATE_PARTS;

/// A percentile of microseconds, in milliseconds.
pub(super) fn milliseconds(micros: &Histogram, share: f64) -> Option<f64> {
    micros.quantile(share).map(|micros| micros / 1_000.0)
}

/// A percentile of a rate.
pub(super) fn rate(parts: &Histogram, share: f64) -> Option<f64> {
    parts.quantile(share).map(|parts| parts / RATE_PARTS)
}

/// Percentiles 50, 95 and 99 of microseconds.
pub(super) fn durations(micros: &Histogram) -> DurationPercentiles {
    DurationPercentiles {
        p50: milliseconds(micros, 0.5),
        p95: milliseconds(micros, 0.95),
        p99: milliseconds(micros, 0.99),
    }
}

/// Percentiles 5, 50 and 95 of a rate.
pub(super) fn rates(parts: &Histogram) -> RatePercentiles {
    RatePercentiles { p5: rate(parts, 0.05), p50: rate(parts, 0.5), p95: rate(parts, 0.95) }
}
