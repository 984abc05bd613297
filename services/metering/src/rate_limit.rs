//! Rate limits that a response head, or a message, states: what is left of them and when they reset,
//! under the names of each provider (docs/rate-limits.md). A value that cannot be read is
//! absent, never a guess.

mod list;
pub(crate) mod message;
mod time;

use std::borrow::Cow;
use std::time::Duration;

use crate::head::HeaderLine;

/// Limits that are kept of one response.
const MOST: usize = 16;
/// Longest header name that can be one of these.
const LONGEST_NAME: usize = 64;
/// Longest name of a window or pool.
const LONGEST_WINDOW: usize = 32;
/// Largest count: no provider allows more, and sums stay far from overflow.
const LARGEST: u64 = 1_000_000_000_000_000;

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RateLimitKind {
    /// Requests.
    Requests,
    /// Tokens, or input and output together.
    Tokens,
    /// Input tokens.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// What a subscription allows, of which only the used share is stated.
    Plan,
    /// Something else, named by the window.
    Other,
}

/// A moment, as a header states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// After the response head, or the message.
    After(Duration),
    /// Since 1970.
    At(Duration),
}

/// One limit.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    /// What it counts.
    pub kind: RateLimitKind,
    /// Which of several limits of this kind: its window ("minute", "5h") or pool
    /// ("project", "7d_opus"), as the header names it; empty if it names none. At most
    /// 32 bytes of `a-z0-9_-`.
    pub window: String,
    /// How many are allowed in a window.
    pub limit: Option<u64>,
    /// How many are left.
    pub remaining: Option<u64>,
    /// Share that is used, of a plan. Above 1: beyond what it includes.
    pub used: Option<f64>,
    /// When it is full again.
    pub resets: Option<When>,
}

/// What a response head, or the messages after it, state about limits.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimits {
    /// At most 16 limits, each kind and window once.
    pub limits: Vec<RateLimit>,
    /// When to try again.
    pub retry_after: Option<When>,
    /// When the last message came that stated any, since the request head arrived. `None`:
    /// only the response head did.
    pub at: Option<Duration>,
}

/// What the lines of a head have stated so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    limits: Vec<Part>,
    retry_after: Option<When>,
    /// The same in milliseconds, which is more exact.
    retry_after_ms: Option<When>,
}

/// A limit whose lines are being read.
#[derive(Debug)]
struct Part {
    limit: RateLimit,
    /// Length of its window, where a line of its own states it (Codex).
    minutes: Option<u64>,
}

/// What a line states of a limit.
#[derive(Debug, Clone, Copy)]
enum Measure {
    Limit(u64),
    Remaining(u64),
    Used(f64),
    Resets(When),
    Minutes(u64),
}

/// Takes a line that states something about limits. Allocates only then.
#[inline]
pub(crate) fn take(found: &mut Option<Box<Found>>, line: HeaderLine<'_>) {
    let begins = |start: &[u8]| {
        line.0.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
    };
    let named = match line.0.first() {
        Some(b'x' | b'X') => {
            begins(b"x-ratelimit") || begins(b"x-codex-") || begins(b"x-tokenlimit-")
        }
        Some(b'a' | b'A') => begins(b"anthropic-"),
        Some(b'r' | b'R') => begins(b"ratelimit") || begins(b"retry-after"),
        _ => false,
    };
    if named {
        read(found, line);
    }
}

#[cold]
fn read(found: &mut Option<Box<Found>>, (name, value): HeaderLine<'_>) {
    let mut lower = [0; LONGEST_NAME];
    let Some(lower) = lower.get_mut(..name.len()) else { return };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let Ok(name) = std::str::from_utf8(lower) else { return };
    let Some(value) = crate::head::text(value).map(str::trim) else { return };
    match name {
        "retry-after" => {
            if let Some(when) = time::retry_after(value) {
                found.get_or_insert_default().retry_after.get_or_insert(when);
            }
        }
        "retry-after-ms" => {
            if let Some(when) = time::milliseconds(value) {
                found.get_or_insert_default().retry_after_ms.get_or_insert(when);
            }
        }
        "ratelimit" | "ratelimit-policy" => list::read(value, found),
        _ => {
            let Some((kind, window, measure)) = field(name, value) else { return };
            found.get_or_insert_default().note(kind, &window, measure);
        }
    }
}

/// Kind, window and measure of a line that states one number.
fn field<'a>(name: &'a str, value: &str) -> Option<(RateLimitKind, Cow<'a, str>, Measure)> {
    use RateLimitKind::{Plan, Requests, Tokens};
    let after = |start: &str| name.strip_prefix(start);
    if let Some(rest) = after("anthropic-ratelimit-unified-") {
        let (window, measure) = rest.rsplit_once('-')?;
        let measure = match measure {
            "utilization" => Measure::Used(share(value)?),
            "reset" => Measure::Resets(time::reset(value)?),
            _ => return None,
        };
        return is_window(window).then(|| (Plan, window.into(), measure));
    }
    if let Some(rest) = after("x-codex-") {
        let (window, measure) = codex(rest, value)?;
        return is_window(window).then(|| (Plan, window.into(), measure));
    }
    for (start, pool, default) in [
        ("anthropic-ratelimit-", "", Requests),
        ("anthropic-priority-", "priority", Requests),
        ("anthropic-fast-", "fast", Requests),
        ("x-ratelimitbysize-", "", Tokens),
        ("ratelimitbysize-", "", Tokens),
        ("x-tokenlimit-", "", Tokens),
        ("x-ratelimit-", "", Requests),
        ("ratelimit-", "", Requests),
    ] {
        if let Some(rest) = after(start) {
            return words(rest, pool, default, value);
        }
    }
    None
}

/// Words in any order, as `limit-tokens-minute` or `input-tokens-remaining`: one is the
/// measure, some the unit, the others name the window.
fn words(
    rest: &str,
    pool: &str,
    default: RateLimitKind,
    value: &str,
) -> Option<(RateLimitKind, Cow<'static, str>, Measure)> {
    use RateLimitKind::{InputTokens, Other, OutputTokens, Requests, Tokens};
    let is_measure = |word: &&str| ["limit", "remaining", "reset"].contains(word);
    let (place, measure) = rest.split('-').enumerate().find(|(_, word)| is_measure(word))?;
    let measure = match measure {
        "limit" => Measure::Limit(count(value)?),
        "remaining" => Measure::Remaining(count(value)?),
        _ => Measure::Resets(time::reset(value)?),
    };
    let (mut unit, mut side) = (None, None);
    let mut window = pool.to_owned();
    let mut periods = true;
    for (at, word) in rest.split('-').enumerate() {
        match word {
            _ if at == place => {}
            "requests" | "request" | "req" => unit = Some(Requests),
            "tokens" | "token" => unit = Some(Tokens),
            "input" | "prompt" => side = Some(InputTokens),
            "output" | "generated" => side = Some(OutputTokens),
            _ => {
                periods &= time::is_period(word);
                if !window.is_empty() {
                    window.push('-');
                }
                window.push_str(word);
            }
        }
    }
    let kind = match (unit, side) {
        (Some(Tokens), Some(side)) => side,
        (Some(unit), None) => unit,
        (None, None) if periods => default,
        (None, None) => Other,
        _ => return None,
    };
    is_window_or_none(&window).then(|| (kind, window.into(), measure))
}

/// `primary-used-percent`, `secondary-reset-at`, `<pool>-primary-window-minutes`.
fn codex<'a>(rest: &'a str, value: &str) -> Option<(&'a str, Measure)> {
    let (window, measure) = if let Some(window) = rest.strip_suffix("-used-percent") {
        (window, Measure::Used(share(value)? / 100.0))
    } else if let Some(window) = rest.strip_suffix("-window-minutes") {
        (window, Measure::Minutes(count(value)?))
    } else if let Some(window) = rest.strip_suffix("-reset-at") {
        (window, Measure::Resets(time::reset(value)?))
    } else {
        (rest.strip_suffix("-reset-after-seconds")?, Measure::Resets(time::seconds(value)?))
    };
    let known = ["primary", "secondary"].iter().any(|known| {
        window.strip_suffix(known).is_some_and(|pool| pool.is_empty() || pool.ends_with('-'))
    });
    known.then_some((window, measure))
}

impl Found {
    fn note(&mut self, kind: RateLimitKind, window: &str, measure: Measure) {
        let same = |part: &Part| part.limit.kind == kind && part.limit.window == window;
        let at = match self.limits.iter().position(same) {
            Some(at) => at,
            None if self.limits.len() >= MOST => return,
            None => {
                let (limit, remaining, used, resets) = (None, None, None, None);
                let window = window.to_owned();
                let limit = RateLimit { kind, window, limit, remaining, used, resets };
                self.limits.push(Part { limit, minutes: None });
                self.limits.len() - 1
            }
        };
        let Part { limit, minutes } = &mut self.limits[at];
        match measure {
            Measure::Limit(count) => _ = limit.limit.get_or_insert(count),
            Measure::Remaining(count) => _ = limit.remaining.get_or_insert(count),
            Measure::Used(share) => _ = limit.used.get_or_insert(share),
            Measure::Resets(when) => _ = limit.resets.get_or_insert(when),
            Measure::Minutes(count) => _ = minutes.get_or_insert(count),
        }
    }

    /// What the head stated, if there was anything in it.
    pub(crate) fn finish(self) -> Option<RateLimits> {
        let mut limits: Vec<RateLimit> = Vec::with_capacity(self.limits.len());
        for Part { mut limit, minutes } in self.limits {
            // A limit of 0, or of less, is a limit that does not apply.
            let applies = limit.limit != Some(0) && minutes != Some(0);
            let tells = limit.limit.is_some() || limit.remaining.is_some() || limit.used.is_some();
            if let Some(minutes) = minutes {
                limit.window = of_minutes(&limit.window, minutes);
            }
            let known =
                |known: &RateLimit| (known.kind, &known.window) == (limit.kind, &limit.window);
            if applies && tells && !limits.iter().any(known) {
                limits.push(limit);
            }
        }
        let retry_after = self.retry_after_ms.or(self.retry_after);
        let any = !limits.is_empty() || retry_after.is_some();
        any.then_some(RateLimits { limits, retry_after, at: None })
    }
}

/// `5h`, `7d`: the window of `primary`; `5h_<pool>` of `<pool>-primary`.
fn of_minutes(window: &str, minutes: u64) -> String {
    let length = match minutes {
        _ if minutes.is_multiple_of(1_440) => format!("{}d", minutes / 1_440),
        _ if minutes.is_multiple_of(60) => format!("{}h", minutes / 60),
        _ => format!("{minutes}m"),
    };
    let mut window = match window.rsplit_once('-') {
        Some((pool, _)) => format!("{length}_{pool}"),
        None => length,
    };
    window.truncate(LONGEST_WINDOW);
    window
}

/// Whether a text can be the name of a window.
fn is_window(text: &str) -> bool {
    !text.is_empty() && is_window_or_none(text)
}

/// The same, or none at all.
fn is_window_or_none(text: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    text.len() <= LONGEST_WINDOW && text.bytes().all(fits)
}

/// A count. What was overdrawn, or has no limit (-1), is 0; a quota policy may follow
/// (`100, 100;w=60`).
fn count(text: &str) -> Option<u64> {
    let text = text.split_once(", ").map_or(text, |(first, _)| first);
    let text = text.split(';').next().unwrap_or("").trim();
    if let Some(negative) = text.strip_prefix('-') {
        return number(negative).map(|_| 0);
    }
    whole(number(text)?)
}

/// A count of no fraction: a part of a token is none.
fn whole(count: f64) -> Option<u64> {
    (count <= LARGEST as f64).then_some(count as u64)
}

/// A share that is written as a percentage.
fn percent(percent: f64) -> Option<f64> {
    (percent <= 10_000.0).then_some(percent / 100.0)
}

/// A share of a whole, or a percentage.
fn share(text: &str) -> Option<f64> {
    number(text).filter(|share| *share <= 10_000.0)
}

/// A decimal number without sign or exponent.
fn number(text: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || text.len() > 32 || !digits(whole) || !digits(fraction) {
        return None;
    }
    text.parse().ok()
}
