//! Percentiles as the database gives them, in the units of the contract.

use modash_proto::v1::{DurationPercentiles, RatePercentiles};

/// Microseconds to milliseconds.
pub(super) fn milliseconds(micros: f64) -> f64 {
    micros / 1_000.0
}

/// The percentile at a place of the statement's list.
pub(super) fn at(percentiles: Option<&Vec<Option<f64>>>, place: usize) -> Option<f64> {
    percentiles?.get(place).copied().flatten()
}

/// Percentiles 50, 95 and 99 of microseconds.
pub(super) fn durations(micros: Option<&Vec<Option<f64>>>) -> DurationPercentiles {
    DurationPercentiles {
        p50: at(micros, 0).map(milliseconds),
        p95: at(micros, 1).map(milliseconds),
        p99: at(micros, 2).map(milliseconds),
    }
}

/// Percentiles 5, 50 and 95 of a rate.
pub(super) fn rates(rates: Option<&Vec<Option<f64>>>) -> RatePercentiles {
    RatePercentiles { p5: at(rates, 0), p50: at(rates, 1), p95: at(rates, 2) }
}
