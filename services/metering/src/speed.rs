//! Prefill and decode rates in tokens per second (design section 5): those that
//! the upstream measured, else those of the stream. Never one figure for both.
//! Where too little was seen to tell, a rate is unknown.

use std::time::Duration;

use crate::reading::{SpeedSource, Tokens};
use crate::record::{Clock, Record};

/// Fewer tokens give no rate.
const TOKENS: u64 = 8;
/// Fewer content events give none.
const EVENTS: u64 = 3;
/// A shorter time between the first and the last of them gives none.
const SPAN: Duration = Duration::from_millis(250);
/// More tokens an event than any server makes without holding them back.
const HELD_BACK: u64 = 16;
/// Rates from here on are those of a clock that was read too late.
const ABSURD_PREFILL: f64 = 1e6;
const ABSURD_DECODE: f64 = 1e5;

/// Rates of one exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rates {
    /// Uncached prompt tokens per second.
    pub(crate) prefill: Option<f64>,
    /// Output tokens per second.
    pub(crate) decode: Option<f64>,
    /// Where they come from; `None` if there are none.
    pub(crate) source: Option<SpeedSource>,
}

impl Rates {
    /// The rates of a response with these counts.
    pub(crate) fn of(record: &Record, tokens: &Tokens) -> Self {
        // One token is made with the prompt and has no rate of its own.
        let several = tokens.completion.is_none_or(|completion| completion > 1);
        let decode = record.speeds.decode.filter(|_| several);
        let told = Self::new(record.speeds.prefill, decode, SpeedSource::Upstream);
        if told.source.is_some() || record.session.is_some() {
            // The time of a session is mostly that of its user.
            return told;
        }
        let clock = &record.clock;
        Self::new(prefill(clock, tokens), self::decode(clock, tokens), SpeedSource::Measured)
    }

    fn new(prefill: Option<f64>, decode: Option<f64>, source: SpeedSource) -> Self {
        let prefill = prefill.filter(|rate| *rate > 0.0 && *rate < ABSURD_PREFILL);
        let decode = decode.filter(|rate| *rate > 0.0 && *rate < ABSURD_DECODE);
        let source = (prefill.is_some() || decode.is_some()).then_some(source);
        Self { prefill, decode, source }
    }
}

/// Uncached prompt tokens in the time to the first content, unless the server
/// reasoned unseen in that time.
fn prefill(clock: &Clock, tokens: &Tokens) -> Option<f64> {
    if unseen_reasoning(clock, tokens) > 0 {
        return None;
    }
    let fresh = tokens.prompt?.saturating_sub(tokens.cached_prompt.unwrap_or(0));
    per_second(fresh, clock.first?)
}

/// Tokens that were seen, without the first one, in the time in which they were.
fn decode(clock: &Clock, tokens: &Tokens) -> Option<f64> {
    let unseen = unseen_reasoning(clock, tokens);
    let seen = tokens.completion?.saturating_sub(unseen);
    let (events, first, last) = if unseen > 0 {
        (clock.visible_events, clock.first_visible?, clock.last_visible?)
    } else {
        (clock.events, clock.first?, clock.last?)
    };
    let span = last.saturating_sub(first);
    // Events with many tokens in less time than the wait before them were held
    // back: nothing tells when they were made.
    let held_back = seen / events.max(1) > HELD_BACK && span < first / 2;
    if seen < TOKENS || events < EVENTS || span < SPAN || held_back {
        return None;
    }
    per_second(seen - 1, span)
}

/// Reasoning tokens that were reported and did not come in the stream, or only
/// as a summary: a token has a byte at least.
fn unseen_reasoning(clock: &Clock, tokens: &Tokens) -> u64 {
    tokens.reasoning.filter(|reasoning| *reasoning > clock.hidden_bytes).unwrap_or(0)
}

fn per_second(count: u64, time: Duration) -> Option<f64> {
    (count > 0 && !time.is_zero()).then(|| count as f64 / time.as_secs_f64())
}
