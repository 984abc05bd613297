//! A sparse logarithmic histogram: exact counts in buckets of geometric width,
//! so that every quantile has a relative error of at most 2 % and merging is
//! addition. The bucket formula is part of the wire contract (`LogHistogram` in
//! usage_event.proto): metering records, analytics merges and reads.

/// Ratio between the bounds of neighbouring buckets.
pub const GROWTH: f64 = 1.04;

/// Number of buckets; the last one holds everything beyond 1.04^1022
/// (2.6e17, about 8,000 years in microseconds).
pub const BUCKETS: u32 = 1024;

/// Bucket of a value: 0 for values of 1 or less, else the i with
/// `GROWTH^(i-1) < value <= GROWTH^i`.
#[must_use]
pub fn bucket_of(value: f64) -> u32 {
    if value.is_nan() || value <= 1.0 {
        return 0;
    }
    // `log` may be off by one ulp at a bound, which moves a value by one bucket
    // at a bound where both are equally near.
    let index = (value.ln() / GROWTH.ln()).ceil();
    if index >= f64::from(BUCKETS) { BUCKETS - 1 } else { index as u32 }
}

/// The value that stands for a bucket: within 2 % of all its values.
#[must_use]
pub fn value_of(bucket: u32) -> f64 {
    if bucket == 0 {
        return 1.0;
    }
    let upper = GROWTH.powi(i32::try_from(bucket.min(BUCKETS - 1)).unwrap_or(i32::MAX));
    2.0 * upper / (1.0 + GROWTH)
}

/// Counts by bucket, ascending, each at least 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: Vec<(u32, u64)>,
}

impl Histogram {
    /// From parallel lists; buckets out of range and zero counts are left out,
    /// repeated ones are added up.
    pub fn from_buckets(buckets: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let mut histogram = Self::default();
        for (bucket, count) in buckets {
            histogram.add(bucket, count);
        }
        histogram
    }

    /// Counts one value.
    pub fn record(&mut self, value: f64) {
        self.add(bucket_of(value), 1);
    }

    /// Adds all counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        // Both ascend, so the search goes on where the one before ended.
        let mut at = 0;
        for (bucket, count) in &other.buckets {
            while self.buckets.get(at).is_some_and(|entry| entry.0 < *bucket) {
                at += 1;
            }
            match self.buckets.get_mut(at) {
                Some(entry) if entry.0 == *bucket => entry.1 = entry.1.saturating_add(*count),
                _ => self.buckets.insert(at, (*bucket, *count)),
            }
        }
    }

    /// Adds `count` to a bucket.
    pub fn add(&mut self, bucket: u32, count: u64) {
        if bucket >= BUCKETS || count == 0 {
            return;
        }
        if self.buckets.last().is_none_or(|last| last.0 < bucket) {
            self.buckets.push((bucket, count));
            return;
        }
        // Values of one stream are alike: the bucket is mostly there already.
        match self.buckets.binary_search_by_key(&bucket, |entry| entry.0) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    /// Number of values counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, entry| sum.saturating_add(entry.1))
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Buckets in use with their counts, ascending.
    #[must_use]
    pub fn buckets(&self) -> &[(u32, u64)] {
        &self.buckets
    }

    /// The value below which a share of `quantile` (0 to 1) of the values lie,
    /// by nearest rank; `None` when empty.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let total = self.count();
        let rank = (quantile.clamp(0.0, 1.0) * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0_u64;
        for (bucket, count) in &self.buckets {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return Some(value_of(*bucket));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn odd_values_land_in_the_outer_buckets() {
        assert_eq!(bucket_of(f64::NAN), 0);
        assert_eq!(bucket_of(-5.0), 0);
        assert_eq!(bucket_of(f64::INFINITY), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn a_bucket_stands_for_its_values_within_two_percent(value in 1.0_f64..1e15) {
            let middle = value_of(bucket_of(value));
            prop_assert!((middle - value).abs() / value <= 0.0201, "{value} became {middle}");
        }

        #[test]
        fn quantiles_are_within_two_percent_of_the_nearest_rank(
            mut values in prop::collection::vec(1.0_f64..1e12, 1..200),
            quantile in 0.0_f64..=1.0,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            values.sort_by(f64::total_cmp);
            let rank = ((quantile * values.len() as f64).ceil() as usize).max(1) - 1;
            let found = histogram.quantile(quantile).unwrap();
            prop_assert!((found - values[rank]).abs() / values[rank] <= 0.0201);
        }

        #[test]
        fn merging_equals_recording_everything_in_one(
            left in prop::collection::vec(0.0_f64..1e9, 0..50),
            right in prop::collection::vec(0.0_f64..1e9, 0..50),
        ) {
            let (mut a, mut b, mut all) = <(Histogram, Histogram, Histogram)>::default();
            left.iter().for_each(|value| { a.record(*value); all.record(*value); });
            right.iter().for_each(|value| { b.record(*value); all.record(*value); });
            a.merge(&b);
            prop_assert_eq!(a, all);
        }
    }
}
