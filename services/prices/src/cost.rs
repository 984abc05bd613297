//! What a request cost.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::list::{PriceList, Wanted};
use crate::rates::Dimension;
use crate::sum::{self, Total};

/// A request whose cost is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Provider, see [`provider_of`](crate::provider_of).
    pub provider: Option<&'a str>,
    /// Configured name of the upstream.
    pub upstream: &'a str,
    /// Model that the response names.
    pub model: Option<&'a str>,
    /// Model that the request names.
    pub model_requested: Option<&'a str>,
    /// Service tier that the response names.
    pub service_tier: Option<&'a str>,
    /// When the request began: it decides which price holds.
    pub started_at: DateTime<Utc>,
    /// How long the request took.
    pub duration: Option<Duration>,
    /// Where the counts come from.
    pub counts: Counts,
    /// The counts.
    pub usage: Usage,
    /// Cost in US dollars that the upstream itself reported; it wins over the price list.
    pub upstream_cost_usd: Option<f64>,
}

/// Where the counts of a request come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Reported by the upstream, in full.
    Reported,
    /// Reported by the upstream, but the answer broke off: the cost is an estimate.
    LowerBound,
    /// Estimated; counts that could not be estimated are unknown, and so is their cost.
    Estimated,
    /// Unknown.
    NotReported,
    /// The request consumed nothing, or what it consumed is counted with another one.
    NotDue,
}

/// The counts of a request. One that is absent is unknown, which is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// All input tokens: cached ones, cache writes, audio and images included.
    pub prompt_tokens: Option<u64>,
    /// Part of `prompt_tokens` that was read from a cache.
    pub cached_prompt_tokens: Option<u64>,
    /// Part of `prompt_tokens` that was written to a cache.
    pub cache_write_tokens: Option<u64>,
    /// Part of `cache_write_tokens` that was written for one hour.
    pub cache_write_1h_tokens: Option<u64>,
    /// Part of `cache_write_tokens` that was written for twelve hours.
    pub cache_write_12h_tokens: Option<u64>,
    /// All output tokens: reasoning, audio and images included.
    pub completion_tokens: Option<u64>,
    /// Part of `completion_tokens` that was spent on reasoning.
    pub reasoning_tokens: Option<u64>,
    /// Audio part of `prompt_tokens`; absent is none.
    pub audio_prompt_tokens: Option<u64>,
    /// Audio part of `cached_prompt_tokens`.
    pub cached_audio_prompt_tokens: Option<u64>,
    /// Audio part of `completion_tokens`; absent is none.
    pub audio_completion_tokens: Option<u64>,
    /// Image part of `prompt_tokens`.
    pub image_prompt_tokens: Option<u64>,
    /// Image part of `cached_prompt_tokens`.
    pub cached_image_prompt_tokens: Option<u64>,
    /// Image part of `completion_tokens`.
    pub image_completion_tokens: Option<u64>,
    /// All tokens, where the upstream does not say which they are (embeddings, rerank).
    pub total_tokens: Option<u64>,
    /// Input tokens that the upstream bills, where it reports them apart.
    pub billed_prompt_tokens: Option<u64>,
    /// Output tokens that the upstream bills, where it reports them apart.
    pub billed_completion_tokens: Option<u64>,
    /// Images that were made.
    pub images: Option<u64>,
    /// Audio billed by time.
    pub billed_audio: Option<Duration>,
    /// Characters that were spoken.
    pub characters: Option<u64>,
    /// Search units that the upstream bills.
    pub search_units: Option<f64>,
}

/// What a request cost, or why that is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Billionths of a US dollar, rounded once, half up. None: unknown, which is not 0.
    pub nano_usd: Option<u64>,
    /// What the tokens read from and written to a cache would have cost as plain prompt
    /// tokens, minus what they cost: negative where writing cost more. 0 if unknown.
    pub cache_saving_nano_usd: i64,
    /// Where the cost comes from.
    pub source: Source,
    /// Why the price list does not give a cost, also where the upstream reported one; or
    /// the count that an estimate leaves out.
    pub reason: Option<Reason>,
}

/// Where a cost comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Reported by the upstream.
    Upstream,
    /// Reported counts times the prices of the list.
    Table,
    /// Estimated counts, or those of an answer that broke off, times the prices of the list.
    Estimated,
    /// Unknown.
    Unknown,
}

/// Why a cost is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Neither request nor response names a model.
    NoModel,
    /// The provider is unknown, and no price is bound to the upstream.
    NoProvider,
    /// The list has no price for the model on that day.
    NoPrice,
    /// The list does not price the service tier.
    NoTier,
    /// The counts are unknown.
    NotReported,
    /// A count that the price needs is unknown.
    NoCount(Dimension),
    /// Something was consumed that has no price.
    NotPriced(Dimension),
    /// The counts contradict each other.
    Inconsistent,
    /// The cost is higher than can be recorded.
    TooHigh,
}

impl PriceList {
    /// What a request cost.
    #[must_use]
    pub fn cost(&self, request: &Request<'_>) -> Cost {
        let cost = |nano_usd, cache_saving_nano_usd, source, reason| Cost {
            nano_usd,
            cache_saving_nano_usd,
            source,
            reason,
        };
        if request.counts == Counts::NotDue {
            return cost(Some(0), 0, Source::Table, None);
        }
        let by_list = self.cost_by_list(request);
        let reported = request.upstream_cost_usd.and_then(nano_usd);
        match (reported, by_list) {
            (Some(nano), Ok(total)) => {
                cost(Some(nano), total.cache_saving_nano_usd, Source::Upstream, None)
            }
            (Some(nano), Err(reason)) => cost(Some(nano), 0, Source::Upstream, Some(reason)),
            (None, Ok(Total { nano_usd, cache_saving_nano_usd, left_out })) => {
                let estimated = matches!(request.counts, Counts::Estimated | Counts::LowerBound);
                let source = if estimated { Source::Estimated } else { Source::Table };
                let reason = left_out.map(Reason::NoCount);
                cost(Some(nano_usd), cache_saving_nano_usd, source, reason)
            }
            (None, Err(reason)) => cost(None, 0, Source::Unknown, Some(reason)),
        }
    }

    fn cost_by_list(&self, request: &Request<'_>) -> Result<Total, Reason> {
        let entry = self.find(&request.wanted()).ok_or_else(|| {
            if request.model.is_none() && request.model_requested.is_none() {
                Reason::NoModel
            } else if request.provider.is_none() {
                Reason::NoProvider
            } else {
                Reason::NoPrice
            }
        })?;
        let prompt = request.usage.prompt_tokens.or(request.usage.total_tokens).unwrap_or(0);
        let rates = entry
            .tariff(request.service_tier, request.started_at)
            .ok_or(Reason::NoTier)?
            .rates(prompt);
        sum::total(rates, request)
    }
}

impl<'a> Request<'a> {
    /// A request about which nothing else is known.
    #[must_use]
    pub fn new(upstream: &'a str, started_at: DateTime<Utc>) -> Self {
        Self {
            provider: None,
            upstream,
            model: None,
            model_requested: None,
            service_tier: None,
            started_at,
            duration: None,
            counts: Counts::Reported,
            usage: Usage::default(),
            upstream_cost_usd: None,
        }
    }

    /// What the price is looked up by.
    #[must_use]
    pub fn wanted(&self) -> Wanted<'a> {
        Wanted {
            provider: self.provider,
            upstream: self.upstream,
            model: self.model,
            model_requested: self.model_requested,
            started_at: self.started_at,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModel => f.write_str("no model is named"),
            Self::NoProvider => {
                f.write_str("the provider is unknown and the upstream has no price")
            }
            Self::NoPrice => f.write_str("the model has no price"),
            Self::NoTier => f.write_str("the service tier has no price"),
            Self::NotReported => f.write_str("the upstream reported no usage"),
            Self::NoCount(dimension) => write!(f, "the count of {} is unknown", dimension.key()),
            Self::NotPriced(dimension) => write!(f, "{} has no price", dimension.key()),
            Self::Inconsistent => f.write_str("the counts contradict each other"),
            Self::TooHigh => f.write_str("the cost is too high to be recorded"),
        }
    }
}

/// Dollars as the upstream wrote them in decimal, in billionths, rounded half up.
fn nano_usd(dollars: f64) -> Option<u64> {
    if !dollars.is_finite() || dollars.is_sign_negative() && dollars != 0.0 {
        return None;
    }
    // The shortest decimal that is this number: what the upstream wrote, if that had at
    // most 15 digits.
    let text = format!("{dollars:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let behind_point = i32::try_from(digits.len()).ok()? - 1;
    let (digits, shift) =
        (digits.parse::<u128>().ok()?, exponent.parse::<i32>().ok()? - behind_point + 9);
    let power = 10_u128.checked_pow(shift.unsigned_abs());
    let nano = match (shift >= 0, power) {
        (true, Some(power)) => digits.checked_mul(power)?,
        (true, None) => (digits == 0).then_some(0)?,
        (false, Some(power)) => (digits + power / 2) / power,
        (false, None) => 0,
    };
    u64::try_from(nano).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reported_cost_is_rounded_half_up_from_its_decimal_form() {
        for (dollars, nano) in [
            (0.0, Some(0)),
            (-0.0, Some(0)),
            (0.000_123_456_789, Some(123_457)),
            (0.000_000_000_5, Some(1)),
            (0.000_000_000_499, Some(0)),
            (1e-300, Some(0)),
            (12.5, Some(12_500_000_000)),
            (1e300, None),
            (-0.1, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(nano_usd(dollars), nano, "{dollars}");
        }
    }
}
