//! Rate limits that answers state, in the headers of each API: by credential, full again
//! every minute; for Claude Code, as a subscription states them. Nothing is refused.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::dialect::Dialect;

/// What a credential may take in a minute.
const REQUESTS: u64 = 60;
const INPUT_TOKENS: u64 = 200_000;
const OUTPUT_TOKENS: u64 = 40_000;
const TOKENS: u64 = INPUT_TOKENS + OUTPUT_TOKENS;

/// Requests that a subscription includes in five hours, and in a week.
const PLAN: [(&str, u64, u64); 2] = [("5h", 5 * 3_600, 900), ("7d", 7 * 86_400, 9_000)];

/// Most credentials that are told apart.
const MOST: usize = 1_000;

/// What was taken by each credential.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<HashMap<u64, Taken>>);

/// What a credential took in this minute, and in all.
#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    minute: u64,
    requests: u64,
    input: u64,
    output: u64,
    all: u64,
}

impl Limits {
    /// Counts an answer and adds what is left after it; `now` is since 1970.
    pub(crate) fn add(
        &self,
        dialect: Dialect,
        request: &HeaderMap,
        (input, output): (u64, u64),
        now: Duration,
        headers: &mut HeaderMap,
    ) {
        let taken = self.take(credential(request), input, output, now.as_secs() / 60);
        let mut state = |name: String, value: String| {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.insert(name, value);
            }
        };
        let left = |limit: u64, taken: u64| limit.saturating_sub(taken).to_string();
        let seconds = 60 - now.as_secs() % 60;
        match dialect {
            Dialect::AnthropicMessages | Dialect::AnthropicCountTokens
                if is_claude_code(request) =>
            {
                for (window, length, included) in PLAN {
                    let start = "anthropic-ratelimit-unified";
                    // A week has begun before the simulator did.
                    let used = (taken.all + included / 3) as f64 / included as f64;
                    let reset = (now.as_secs() / length + 1) * length;
                    state(format!("{start}-{window}-utilization"), format!("{used:.3}"));
                    state(format!("{start}-{window}-reset"), reset.to_string());
                }
            }
            Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
                for (kind, limit, taken) in [
                    ("requests", REQUESTS, taken.requests),
                    ("input-tokens", INPUT_TOKENS, taken.input),
                    ("output-tokens", OUTPUT_TOKENS, taken.output),
                ] {
                    let start = format!("anthropic-ratelimit-{kind}");
                    state(format!("{start}-limit"), limit.to_string());
                    state(format!("{start}-remaining"), left(limit, taken));
                    state(format!("{start}-reset"), rfc3339(now.as_secs() + seconds));
                }
            }
            Dialect::OpenAiChat
            | Dialect::OpenAiCompletions
            | Dialect::OpenAiResponses
            | Dialect::OpenAiEmbeddings => {
                for (kind, limit, taken) in [
                    ("requests", REQUESTS, taken.requests),
                    ("tokens", TOKENS, taken.input + taken.output),
                ] {
                    state(format!("x-ratelimit-limit-{kind}"), limit.to_string());
                    state(format!("x-ratelimit-remaining-{kind}"), left(limit, taken));
                    state(format!("x-ratelimit-reset-{kind}"), format!("{seconds}s"));
                }
            }
            // The others state nothing.
            _ => {}
        }
    }

    fn take(&self, credential: u64, input: u64, output: u64, minute: u64) -> Taken {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = if all.len() < MOST || all.contains_key(&credential) { credential } else { 0 };
        let taken = all.entry(known).or_default();
        if taken.minute != minute {
            *taken = Taken { minute, all: taken.all, ..Taken::default() };
        }
        taken.requests += 1;
        taken.all += 1;
        taken.input = taken.input.saturating_add(input);
        taken.output = taken.output.saturating_add(output);
        *taken
    }
}

fn credential(request: &HeaderMap) -> u64 {
    let mut hash = DefaultHasher::new();
    for name in [header::AUTHORIZATION, HeaderName::from_static("x-api-key")] {
        request.get(name).map(HeaderValue::as_bytes).hash(&mut hash);
    }
    hash.finish()
}

fn is_claude_code(request: &HeaderMap) -> bool {
    let agent = request.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent.starts_with("claude-cli/"))
}

/// Seconds since 1970 as a date and time of UTC.
fn rfc3339(seconds: u64) -> String {
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_755_780_059, "2025-08-21T12:40:59Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
