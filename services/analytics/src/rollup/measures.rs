//! What is summed up of requests, and how sums are added to each other. The same
//! code makes the rollups when requests are written, when they are rebuilt, and
//! reads the requests at the edges of a range.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use modash_histogram::{Histogram, bucket_of};
use modash_proto::v1::{CostSource, Outcome, UsageSource};

use super::{Errors, Failure, LEVELS, Level, packed};

/// Longest time for which a request counts as running.
const LONGEST: i64 = 86_400_000_000;

/// Rates are counted in thousandths of tokens per second, since a histogram does
/// not tell values below 1 from each other.
pub(crate) const RATE_PARTS: f64 = 1_000.0;

/// Which token counts are summed up, in the order of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Prompt,
    CachedPrompt,
    CacheWrite,
    Completion,
    Reasoning,
    Total,
}

/// What the measures need of one request. Times in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) outcome: i16,
    pub(crate) usage_source: i16,
    /// The operation is one that generates, so usage is due.
    pub(crate) generating: bool,
    /// In the order of [`Token`].
    pub(crate) tokens: [Option<i64>; 6],
    pub(crate) upstream_cost_usd: Option<f64>,
    pub(crate) cost_source: i16,
    pub(crate) cost_nano_usd: Option<i64>,
    pub(crate) cache_saving_nano_usd: Option<i64>,
    pub(crate) duration_us: Option<i64>,
    pub(crate) first_token_us: Option<i64>,
    pub(crate) decode_rate: Option<f64>,
    pub(crate) prefill_rate: Option<f64>,
    /// Packed buckets.
    pub(crate) token_gaps: Option<&'a [u8]>,
    /// Of failed requests, where they are summed up.
    pub(crate) failure: Option<Failure<'a>>,
}

/// A sum and how many requests had the value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) sum: i64,
    pub(crate) with: i64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.with += other.with;
    }
}

/// Sums of costs, in billionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CostSums {
    /// The known costs, and how many requests had one.
    pub(crate) known: Sum,
    pub(crate) cache_saving: i64,
    /// Requests of an unknown cost.
    pub(crate) unknown: i64,
    /// Requests whose known cost is an estimate.
    pub(crate) estimated: i64,
}

impl CostSums {
    fn of(sample: &Sample<'_>) -> Self {
        let is = |source: CostSource| i64::from(sample.cost_source == source as i16);
        Self {
            known: sample.cost_nano_usd.map(|sum| Sum { sum, with: 1 }).unwrap_or_default(),
            cache_saving: sample.cache_saving_nano_usd.unwrap_or(0),
            unknown: is(CostSource::Unknown),
            estimated: is(CostSource::Estimated),
        }
    }

    fn add(&mut self, other: Self) {
        self.known.add(other.known);
        self.cache_saving = self.cache_saving.saturating_add(other.cache_saving);
        self.unknown += other.unknown;
        self.estimated += other.estimated;
    }
}

/// Sums of requests; what a chart of totals needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) requests: i64,
    /// Start of the newest request, in microseconds since 1970: thousands of rows are
    /// added up for one answer, and a number costs less than a date.
    pub(crate) last_started_us: Option<i64>,
    pub(crate) busy_us: i64,
    tokens: [Sum; 6],
    pub(crate) without_usage: i64,
    pub(crate) with_estimated_usage: i64,
    pub(crate) upstream_cost_usd: Option<f64>,
    pub(crate) cost: CostSums,
    /// Neither OK nor CLIENT_CLOSED.
    pub(crate) failed: i64,
    pub(crate) client_closed: i64,
}

impl Sums {
    /// Sum of a token count.
    pub(crate) fn tokens(&self, token: Token) -> i64 {
        self.tokens[token as usize].sum
    }

    pub(crate) fn sum_mut(&mut self, place: usize) -> &mut Sum {
        &mut self.tokens[place]
    }

    pub(crate) fn sums(&self) -> &[Sum; 6] {
        &self.tokens
    }

    fn add(&mut self, sample: &Sample<'_>) {
        self.requests += 1;
        self.last_started_us = self.last_started_us.max(Some(sample.started_at.timestamp_micros()));
        for (sum, value) in self.tokens.iter_mut().zip(sample.tokens) {
            if let Some(value) = value {
                sum.add(Sum { sum: value, with: 1 });
            }
        }
        let is = |source: UsageSource| sample.usage_source == source as i16;
        let lacking = sample.outcome == Outcome::Ok as i16
            && (is(UsageSource::NotReported) || is(UsageSource::Unparseable));
        self.without_usage += i64::from(lacking && sample.generating);
        self.with_estimated_usage += i64::from(is(UsageSource::Estimated));
        self.count_outcome(sample.outcome, 1);
        if let Some(cost) = sample.upstream_cost_usd {
            *self.upstream_cost_usd.get_or_insert_default() += cost;
        }
        self.cost.add(CostSums::of(sample));
    }

    /// Counts requests by their outcome.
    pub(crate) fn count_outcome(&mut self, outcome: i16, requests: i64) {
        match Outcome::try_from(i32::from(outcome)) {
            Ok(Outcome::Ok) => {}
            Ok(Outcome::ClientClosed) => self.client_closed += requests,
            _ => self.failed += requests,
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.last_started_us = self.last_started_us.max(other.last_started_us);
        self.busy_us = self.busy_us.saturating_add(other.busy_us);
        for (sum, other) in self.tokens.iter_mut().zip(other.tokens) {
            sum.add(other);
        }
        self.without_usage += other.without_usage;
        self.with_estimated_usage += other.with_estimated_usage;
        self.failed += other.failed;
        self.client_closed += other.client_closed;
        self.cost.add(other.cost);
        if let Some(cost) = other.upstream_cost_usd {
            *self.upstream_cost_usd.get_or_insert_default() += cost;
        }
    }
}

/// Sums, distributions and errors.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Measures {
    pub(crate) sums: Sums,
    pub(crate) duration_us: Histogram,
    pub(crate) first_token_us: Histogram,
    pub(crate) decode_rate: Histogram,
    pub(crate) prefill_rate: Histogram,
    pub(crate) token_gaps: Histogram,
    pub(crate) errors: Errors,
}

impl Measures {
    /// Adds a request to the sums alone, its busy time apart.
    pub(crate) fn add_to_sums(&mut self, sample: &Sample<'_>) {
        self.sums.add(sample);
    }

    /// Counts a request, its busy time apart.
    pub(crate) fn add(&mut self, sample: &Sample<'_>) {
        self.sums.add(sample);
        let mut record = |histogram: fn(&mut Self) -> &mut Histogram, value: Option<f64>| {
            if let Some(value) = value {
                histogram(self).add(bucket_of(value), 1);
            }
        };
        record(|all| &mut all.duration_us, sample.duration_us.map(|value| value as f64));
        record(|all| &mut all.first_token_us, sample.first_token_us.map(|value| value as f64));
        record(|all| &mut all.decode_rate, sample.decode_rate.map(|rate| rate * RATE_PARTS));
        record(|all| &mut all.prefill_rate, sample.prefill_rate.map(|rate| rate * RATE_PARTS));
        if let Some(failure) = &sample.failure {
            self.errors.count(sample.started_at.timestamp_micros(), failure);
        }
        for (bucket, count) in packed::unpack_buckets(sample.token_gaps.unwrap_or_default()) {
            self.token_gaps.add(bucket, count);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.merge_without_errors(other);
        self.errors.merge(&other.errors);
    }

    pub(crate) fn merge_without_errors(&mut self, other: &Self) {
        self.sums.merge(&other.sums);
        for (histogram, other) in self.histograms_mut().into_iter().zip(other.histograms()) {
            histogram.merge(other);
        }
    }

    pub(crate) fn histograms(&self) -> [&Histogram; 5] {
        [
            &self.duration_us,
            &self.first_token_us,
            &self.decode_rate,
            &self.prefill_rate,
            &self.token_gaps,
        ]
    }

    pub(crate) fn histograms_mut(&mut self) -> [&mut Histogram; 5] {
        [
            &mut self.duration_us,
            &mut self.first_token_us,
            &mut self.decode_rate,
            &mut self.prefill_rate,
            &mut self.token_gaps,
        ]
    }
}

/// What a row of rollups is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) series_id: i64,
    pub(crate) bucket: DateTime<Utc>,
    pub(crate) outcome: i16,
}

/// Measures by key.
pub(crate) type Rollups = HashMap<Key, Measures>;

/// Counts a request in the minute in which it began, and its time in each minute
/// in which it ran.
pub(crate) fn add_by_minute(rollups: &mut Rollups, series_id: i64, sample: &Sample<'_>) {
    add_by(LEVELS[0], rollups, series_id, sample);
}

/// The same by the buckets of any level.
pub(crate) fn add_by(level: Level, rollups: &mut Rollups, series_id: i64, sample: &Sample<'_>) {
    let bucket = level.floor(sample.started_at);
    let mut key = Key { series_id, bucket, outcome: sample.outcome };
    let ended = sample.started_at
        + TimeDelta::microseconds(sample.duration_us.unwrap_or(0).clamp(0, LONGEST));
    let measures = rollups.entry(key).or_default();
    measures.add(sample);
    let mut next = bucket + level.length();
    measures.sums.busy_us += (ended.min(next) - sample.started_at).num_microseconds().unwrap_or(0);
    while next < ended {
        key.bucket = next;
        let end = ended.min(next + level.length());
        let busy = (end - next).num_microseconds().unwrap_or(0);
        rollups.entry(key).or_default().sums.busy_us += busy;
        next = end;
    }
}
