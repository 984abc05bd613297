//! Rate limits of a response head, or of messages, in the form of the event: with moments in place of
//! times until then.

use std::time::Duration;

use modash_metering::{RateLimit, RateLimitKind, When};
use modash_proto::{duration_from_micros, timestamp_from_micros, v1};

use crate::exchange::{Exchange, Finished};

/// What the response head, or a message after it, states; `None`: nothing.
pub(super) fn of(exchange: &Exchange, finished: &Finished) -> Option<v1::RateLimits> {
    let found = finished.reading.as_ref()?.rate_limits.as_ref()?;
    let head = finished.sent_at.unwrap_or_default() + finished.upstream_head.unwrap_or_default();
    let observed = exchange.started_at.saturating_add(micros(found.at.unwrap_or(head)));
    let moment = |when: When| match when {
        When::After(time) => observed.saturating_add(micros(time)),
        When::At(time) => micros(time),
    };
    let limit = |limit: &RateLimit| v1::RateLimit {
        kind: kind(limit.kind).into(),
        window: limit.window.clone(),
        limit: limit.limit,
        remaining: limit.remaining,
        used_share: limit.used,
        resets_at: limit.resets.map(|when| timestamp_from_micros(moment(when))),
    };
    Some(v1::RateLimits {
        limits: found.limits.iter().map(limit).collect(),
        retry_after: found
            .retry_after
            .map(|when| duration_from_micros(moment(when).saturating_sub(observed))),
        observed_at: Some(timestamp_from_micros(observed)),
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn kind(kind: RateLimitKind) -> v1::RateLimitKind {
    match kind {
        RateLimitKind::Requests => v1::RateLimitKind::Requests,
        RateLimitKind::Tokens => v1::RateLimitKind::Tokens,
        RateLimitKind::InputTokens => v1::RateLimitKind::InputTokens,
        RateLimitKind::OutputTokens => v1::RateLimitKind::OutputTokens,
        RateLimitKind::Plan => v1::RateLimitKind::Plan,
        RateLimitKind::Other => v1::RateLimitKind::Other,
    }
}
