//! Token counts: what they are called (`names`) and where they stand (`places`)
//! in JSON, how the counts of several events become one set (`merge`), and the
//! totals they give (`totals`).

mod merge;
mod names;
mod places;
mod totals;

pub(crate) use names::{NAMES, TIER};
pub(crate) use places::{
    CHOICE, CHOICES, DELTA, FIRST_PLACE, METADATA, METRICS, PLACES, SPARE, TIMINGS, TOP,
};
pub(crate) use totals::{embedded, tokens, totals};

/// Largest count that is believed. No request has a trillion tokens; sums of
/// many such counts still fit into 63 bits.
pub(crate) const MAX_COUNT: u64 = 1_000_000_000_000;
/// Largest cost in US dollars, and largest rate in tokens per second, that are
/// believed.
const MAX_AMOUNT: f64 = 1e9;
/// Longest audio that is believed, in seconds: a year.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;

/// Kinds of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Prompt,
    ToolPrompt,
    Cached,
    CacheWrite,
    Completion,
    Reasoning,
    AudioPrompt,
    AudioCompletion,
    Total,
    BilledPrompt,
    BilledCompletion,
}

const COUNTS: usize = Count::BilledCompletion as usize + 1;

/// One set of counts: of a usage object, of an event, or of a whole response.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    counts: [Option<u64>; COUNTS],
    /// The prompt leaves out what was read from and written to a cache.
    cache_apart: bool,
    /// The completion leaves out the reasoning.
    reasoning_apart: bool,
    pub(crate) search_units: Option<f64>,
    pub(crate) audio_seconds: Option<f64>,
    pub(crate) cost: Option<f64>,
    /// Tokens per second.
    pub(crate) prefill_rate: Option<f64>,
    pub(crate) decode_rate: Option<f64>,
    /// Seconds.
    pub(crate) prefill_time: Option<f64>,
    pub(crate) decode_time: Option<f64>,
    pub(crate) first_token_time: Option<f64>,
}

impl Usage {
    /// A set of counts that stand by themselves.
    pub(crate) fn of<const N: usize>(counts: [(Count, Option<u64>); N]) -> Self {
        let mut usage = Self::default();
        for (kind, count) in counts {
            usage.set(kind, count);
        }
        usage
    }

    /// Audio of so many seconds.
    pub(crate) fn of_audio(seconds: Option<f64>) -> Self {
        let audio_seconds = seconds.filter(|seconds| *seconds <= MAX_SECONDS);
        Self { audio_seconds, ..Self::default() }
    }

    /// One count; what is out of range is unknown.
    pub(crate) fn set(&mut self, kind: Count, count: Option<u64>) {
        self.counts[kind as usize] = count.filter(|count| *count <= MAX_COUNT);
    }

    #[inline]
    pub(crate) fn get(&self, kind: Count) -> Option<u64> {
        self.counts[kind as usize]
    }

    /// A count, 0 where it is unknown.
    fn known(&self, kind: Count) -> u64 {
        self.get(kind).unwrap_or(0)
    }

    /// Whether any count is known.
    pub(crate) fn has_counts(&self) -> bool {
        self.counts.iter().any(Option::is_some)
    }

    /// Prefill and decode rates in tokens per second, as the upstream gave them
    /// or their counts and times.
    pub(crate) fn rates(&self) -> (Option<f64>, Option<f64>) {
        let per = |count: Option<u64>, seconds: Option<f64>| {
            let rate = count? as f64 / seconds.filter(|seconds| *seconds > 0.0)?;
            (rate > 0.0 && rate <= MAX_AMOUNT).then_some(rate)
        };
        let cached = if self.cache_apart { 0 } else { self.known(Count::Cached) };
        let fresh = self.get(Count::Prompt).map(|prompt| prompt.saturating_sub(cached));
        let positive = |rate: Option<f64>| rate.filter(|rate| *rate > 0.0 && *rate <= MAX_AMOUNT);
        let prefill = positive(self.prefill_rate)
            .or_else(|| per(fresh, self.prefill_time))
            .or_else(|| per(fresh, self.first_token_time));
        let decode = per(self.get(Count::Completion), self.decode_time);
        (prefill, positive(self.decode_rate).or(decode))
    }
}

/// The sum of two counts; unknown if it is out of range.
pub(crate) fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (None, count) | (count, None) => count,
        (Some(one), Some(other)) => one.checked_add(other).filter(|sum| *sum <= MAX_COUNT),
    }
}
