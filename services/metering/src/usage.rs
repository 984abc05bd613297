//! Token counts: what they are called (`names`) and where they stand (`places`)
//! in JSON, how the counts of several events become one set (`merge`), and the
//! totals they give (`totals`).

mod merge;
mod names;
mod places;
mod totals;

pub(crate) use names::{NAMES, TIER};
pub(crate) use places::{CHOICE, CHOICES, DELTA, METADATA, METRICS, PLACES, SPARE, TIMINGS, TOP};
pub(crate) use totals::{embedded, tokens, totals};

/// Largest count that is believed: a hundred times the largest context windows. The
/// contract's limit is the same, and leaves room for nine billion such requests in a sum
/// of 63 bits.
pub(crate) const MAX_COUNT: u64 = 1_000_000_000;
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
    /// Part of the cache write that is kept for an hour.
    LongCacheWrite,
    Completion,
    Reasoning,
    AudioPrompt,
    AudioCompletion,
    /// Audio part of what came from a cache.
    CachedAudio,
    ImagePrompt,
    /// Image part of what came from a cache.
    CachedImage,
    ImageCompletion,
    Total,
    BilledPrompt,
    BilledCompletion,
}

const COUNTS: usize = Count::BilledCompletion as usize + 1;

impl Count {
    const ALL: [Self; COUNTS] = [
        Self::Prompt,
        Self::ToolPrompt,
        Self::Cached,
        Self::CacheWrite,
        Self::LongCacheWrite,
        Self::Completion,
        Self::Reasoning,
        Self::AudioPrompt,
        Self::AudioCompletion,
        Self::CachedAudio,
        Self::ImagePrompt,
        Self::CachedImage,
        Self::ImageCompletion,
        Self::Total,
        Self::BilledPrompt,
        Self::BilledCompletion,
    ];

    /// Parts of which a missing one is unknown, not none, each with its whole: they are
    /// one statement.
    const PARTS: [(Self, Self); 4] = [
        (Self::CachedAudio, Self::Cached),
        (Self::ImagePrompt, Self::Prompt),
        (Self::CachedImage, Self::Cached),
        (Self::ImageCompletion, Self::Completion),
    ];
}

/// Kinds of amounts that are no counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    SearchUnits,
    /// Seconds.
    Audio,
    /// US dollars.
    Cost,
    /// Tokens per second.
    PrefillRate,
    DecodeRate,
    /// Seconds.
    PrefillTime,
    DecodeTime,
    FirstTokenTime,
}

const AMOUNTS: usize = Amount::FirstTokenTime as usize + 1;

/// One set of counts: of a usage object, of an event, or of a whole response.
/// Made for each event that has counts, so it is kept small.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Bits of the counts that are known, and above them those of the amounts.
    known: u32,
    /// The prompt leaves out what was read from and written to a cache.
    cache_apart: bool,
    /// The completion leaves out the reasoning.
    reasoning_apart: bool,
    counts: [u64; COUNTS],
    amounts: [f64; AMOUNTS],
}

/// Bits of the parts of which a missing one is unknown.
const PARTED: u32 = 1 << Count::CachedAudio as u32
    | 1 << Count::ImagePrompt as u32
    | 1 << Count::CachedImage as u32
    | 1 << Count::ImageCompletion as u32;

/// Bits of counts.
const COUNTED: u32 = (1 << COUNTS) - 1;

impl Usage {
    /// A set of counts that stand by themselves.
    pub(crate) fn of<const N: usize>(counts: [(Count, Option<u64>); N]) -> Self {
        let mut usage = Self::default();
        for (kind, count) in counts {
            usage.set(kind, count);
        }
        usage
    }

    /// One count; what is out of range is unknown.
    #[inline]
    pub(crate) fn set(&mut self, kind: Count, count: Option<u64>) {
        self.known &= !(1 << kind as u32);
        if let Some(count) = count.filter(|count| *count <= MAX_COUNT) {
            self.known |= 1 << kind as u32;
            self.counts[kind as usize] = count;
        }
    }

    #[inline]
    pub(crate) fn get(&self, kind: Count) -> Option<u64> {
        (self.known >> kind as u32 & 1 != 0).then(|| self.counts[kind as usize])
    }

    /// A count, 0 where it is unknown.
    #[inline]
    fn known(&self, kind: Count) -> u64 {
        self.get(kind).unwrap_or(0)
    }

    /// One amount; what is out of range is unknown.
    pub(crate) fn set_amount(&mut self, kind: Amount, amount: Option<f64>) {
        let max = if kind == Amount::Audio { MAX_SECONDS } else { MAX_AMOUNT };
        if let Some(amount) = amount.filter(|amount| (0.0..=max).contains(amount)) {
            self.known |= 1 << (COUNTS + kind as usize);
            self.amounts[kind as usize] = amount;
        }
    }

    pub(crate) fn amount(&self, kind: Amount) -> Option<f64> {
        let known = self.known >> (COUNTS + kind as usize) & 1 != 0;
        known.then(|| self.amounts[kind as usize])
    }

    /// Whether nothing is known.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// Whether any count is known.
    #[inline]
    pub(crate) fn has_counts(&self) -> bool {
        self.known & COUNTED != 0
    }

    /// Prefill and decode rates in tokens per second, as the upstream gave them
    /// or their counts and times.
    pub(crate) fn rates(&self) -> (Option<f64>, Option<f64>) {
        if self.known & !COUNTED == 0 {
            return (None, None);
        }
        let believed = |rate: &f64| *rate > 0.0 && *rate <= MAX_AMOUNT;
        let rate = |kind| self.amount(kind).filter(believed);
        let per =
            |count: Option<u64>, time| Some(count? as f64 / self.amount(time)?).filter(believed);
        let cached = if self.cache_apart { 0 } else { self.known(Count::Cached) };
        let fresh = self.get(Count::Prompt).map(|prompt| prompt.saturating_sub(cached));
        let prefill = rate(Amount::PrefillRate)
            .or_else(|| per(fresh, Amount::PrefillTime))
            .or_else(|| per(fresh, Amount::FirstTokenTime));
        let decode = rate(Amount::DecodeRate)
            .or_else(|| per(self.get(Count::Completion), Amount::DecodeTime));
        (prefill, decode)
    }
}

/// The sum of a part over two answers, each with its whole. A part is unknown where one
/// answer has a whole and does not state it.
pub(crate) fn sum_parts(
    (one, whole): (Option<u64>, Option<u64>),
    (other, other_whole): (Option<u64>, Option<u64>),
) -> Option<u64> {
    let nothing = |whole: Option<u64>| whole.is_none_or(|whole| whole == 0);
    match (one, other) {
        (None, part) if nothing(whole) => part,
        (part, None) if nothing(other_whole) => part,
        (None, _) | (_, None) => None,
        (one, other) => sum(one, other),
    }
}

/// The sum of two counts; unknown if it is out of range.
pub(crate) fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (None, count) | (count, None) => count,
        (Some(one), Some(other)) => one.checked_add(other).filter(|sum| *sum <= MAX_COUNT),
    }
}
