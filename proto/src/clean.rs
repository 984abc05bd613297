//! Makes every text storable: what a client, a server or an older proxy puts into a
//! text must never keep an event out of the totals. PostgreSQL has no place for NUL,
//! and no reader has use for other control characters.

use std::{borrow::Cow, collections::HashMap};

use crate::{
    usage_event::{is_trace_id, micros_from_duration, micros_from_timestamp},
    v1::{LiveRequest, RateLimit, RateLimitKind, RateLimits, UsageEvent},
};

/// Longest name of a tag, longest value, and most tags of an event.
const MAX_TAG_NAME: usize = 64;
const MAX_TAG_VALUE: usize = 128;
const MAX_TAGS: usize = 16;

/// Most rate limits of an event, and the largest count of one.
const MAX_RATE_LIMITS: usize = 16;
const MAX_RATE_LIMIT: u64 = 1_000_000_000_000_000;

/// A text without control characters, which become U+FFFD, and of at most `limit` bytes,
/// cut between characters. Borrowed if it is so already.
#[must_use]
pub fn storable(text: &str, limit: usize) -> Cow<'_, str> {
    if is_clean(text, limit) { text.into() } else { cleaned(text, limit).into() }
}

/// The same in place.
pub fn clean_text(text: &mut String, limit: usize) {
    if let Cow::Owned(clean) = storable(text, limit) {
        *text = clean;
    }
}

/// Most texts are clean, so this has to be quick: one pass over the bytes.
fn is_clean(text: &str, limit: usize) -> bool {
    // U+0080 to U+009F begin with 0xC2, as some other characters do. Without an early
    // end, so that the compiler uses vector instructions.
    let suspect = text
        .bytes()
        .fold(false, |suspect, byte| suspect | (byte < 0x20) | (byte == 0x7F) | (byte == 0xC2));
    text.len() <= limit && (!suspect || !text.contains(char::is_control))
}

fn cleaned(text: &str, limit: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        let character =
            if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
        if cleaned.len() + character.len_utf8() > limit {
            break;
        }
        cleaned.push(character);
    }
    cleaned
}

impl UsageEvent {
    /// Makes all texts storable: no control characters, no more bytes than the contract
    /// allows, no more tags. Ids of traces and spans that are none become absent. Leaves
    /// `event_id` as it is.
    pub fn clean(&mut self) {
        let Self { upstream, dialect, method, path, replica_id, tags, .. } = self;
        for (text, limit) in
            [(upstream, 128), (dialect, 64), (method, 32), (path, 512), (replica_id, 128)]
        {
            clean_text(text, limit);
        }
        for (text, limit) in [
            (&mut self.model_requested, 256),
            (&mut self.user_agent_family, 64),
            (&mut self.client_key, 64),
            (&mut self.user, 128),
            (&mut self.session, 128),
            (&mut self.model, 256),
            (&mut self.response_id, 128),
            (&mut self.previous_response_id, 128),
            (&mut self.finish_reason, 64),
            (&mut self.service_tier, 64),
            (&mut self.error_type, 128),
        ] {
            if let Some(text) = text {
                clean_text(text, limit);
            }
        }
        clean_tags(tags);
        self.rate_limits.take_if(|limits| !clean_rate_limits(limits));
        self.trace_id.take_if(|id| !is_trace_id(id));
        self.span_id.take_if(|id| *id == 0);
        self.parent_span_id.take_if(|id| *id == 0);
    }
}

/// Keeps what can be stored of rate limits, which must never keep an event out; whether
/// anything is left.
fn clean_rate_limits(limits: &mut RateLimits) -> bool {
    let mut known: Vec<(i32, String)> = Vec::new();
    limits.limits.retain_mut(|limit| {
        let key = (limit.kind, limit.window.clone());
        let kept = known.len() < MAX_RATE_LIMITS && is_storable(limit) && !known.contains(&key);
        limit.resets_at.take_if(|at| micros_from_timestamp(at).is_none());
        if kept {
            known.push(key);
        }
        kept
    });
    limits.retry_after.take_if(|after| micros_from_duration(after).is_none());
    let observed = limits.observed_at.as_ref().and_then(micros_from_timestamp);
    observed.is_some() && (!limits.limits.is_empty() || limits.retry_after.is_some())
}

fn is_storable(limit: &RateLimit) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    let counts = limit.limit.max(limit.remaining);
    let known = RateLimitKind::try_from(limit.kind);
    known.is_ok_and(|kind| kind != RateLimitKind::Unspecified)
        && limit.window.len() <= 32
        && limit.window.bytes().all(fits)
        && counts.is_none_or(|count| count <= MAX_RATE_LIMIT)
        && limit.limit != Some(0)
        && limit.used_share.is_none_or(|share| (0.0..=10_000.0).contains(&share))
        && (counts.is_some() || limit.used_share.is_some())
}

fn clean_tags(tags: &mut HashMap<String, String>) {
    let all_clean = tags.len() <= MAX_TAGS
        && tags
            .iter()
            .all(|(name, value)| is_clean(name, MAX_TAG_NAME) && is_clean(value, MAX_TAG_VALUE));
    if all_clean {
        return;
    }
    let mut all: Vec<_> = std::mem::take(tags).into_iter().collect();
    // The same ones stay, whoever looks.
    all.sort_unstable();
    tags.extend(
        all.into_iter()
            .take(MAX_TAGS)
            .map(|(name, value)| (cleaned(&name, MAX_TAG_NAME), cleaned(&value, MAX_TAG_VALUE))),
    );
}

impl LiveRequest {
    /// As [`UsageEvent::clean`].
    pub fn clean(&mut self) {
        let Self { upstream, dialect, path, replica_id, model, client_key, user, .. } = self;
        for (text, limit) in [(upstream, 128), (dialect, 64), (path, 512), (replica_id, 128)] {
            clean_text(text, limit);
        }
        for (text, limit) in [(model, 256), (client_key, 64), (user, 128)] {
            if let Some(text) = text {
                clean_text(text, limit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str, limit: usize) -> String {
        let mut text = text.to_owned();
        clean_text(&mut text, limit);
        text
    }

    #[test]
    fn control_characters_are_replaced_and_others_kept() {
        assert_eq!(clean("a\0b\u{1b}[0m\u{7f}\u{85}", 64), "a\u{fffd}b\u{fffd}[0m\u{fffd}\u{fffd}");
        for kept in ["", "qwen3-8b", "\u{c2}\u{a9}\u{a0}", "日本語 🦀", "\u{feff}\u{202e}"] {
            assert_eq!(clean(kept, 64), kept);
        }
        assert_eq!(clean("日本語", 7), "日本");
        assert_eq!(clean("a\0", 3), "a", "a replacement takes three bytes");
    }

    #[test]
    fn rate_limits_that_cannot_be_stored_are_left_out() {
        let limit = |window: &str, remaining| RateLimit {
            kind: RateLimitKind::Tokens.into(),
            window: window.to_owned(),
            remaining: Some(remaining),
            ..RateLimit::default()
        };
        let cleaned = |limits, observed: Option<i64>| {
            let observed_at = observed.map(crate::timestamp_from_micros);
            let limits = RateLimits { limits, retry_after: None, observed_at };
            let mut event = UsageEvent { rate_limits: Some(limits), ..UsageEvent::default() };
            event.clean();
            event.rate_limits.map(|limits| limits.limits)
        };
        let unknown = RateLimit { kind: 99, ..limit("", 1) };
        let of_none = RateLimit { limit: Some(0), ..limit("", 1) };
        let all = vec![limit("a b", 1), limit("a", u64::MAX), unknown, of_none, limit("a", 2)];
        assert_eq!(cleaned(all, Some(1)), Some(vec![limit("a", 2)]));
        assert_eq!(cleaned(vec![limit("a", 2), limit("a", 3)], Some(1)), Some(vec![limit("a", 2)]));
        assert_eq!(cleaned(vec![limit("a b", 1)], Some(1)), None);
        assert_eq!(cleaned(vec![limit("a", 1)], None), None, "of no moment");
        let many = (0..40).map(|at| limit(&format!("w{at}"), 1)).collect();
        assert_eq!(cleaned(many, Some(1)).map(|limits| limits.len()), Some(MAX_RATE_LIMITS));
    }

    proptest! {
        #[test]
        fn every_event_is_storable_whatever_its_texts(
            texts in prop::collection::vec(".{0,600}", 16),
            (trace_id, span_id) in ("[0-9a-fA-F]{0,33}|0{32}", 0..3_u64),
            tags in prop::collection::hash_map(".{0,200}", ".{0,200}", 0..40),
        ) {
            let mut text = texts.into_iter();
            let mut next = || text.next().unwrap_or_default();
            let mut event = UsageEvent {
                event_id: uuid::Uuid::from_u128(crate::event_id(1_764_000_000_000_000, 1)).to_string(),
                replica_id: format!("r{}", next()),
                started_at: Some(crate::timestamp_from_micros(1_764_000_000_000_000)),
                upstream: next(),
                dialect: next(),
                method: next(),
                path: next(),
                model_requested: Some(next()),
                user_agent_family: Some(next()),
                client_key: Some(next()),
                user: Some(next()),
                session: Some(next()),
                model: Some(next()),
                response_id: Some(next()),
                finish_reason: Some(next()),
                service_tier: Some(next()),
                error_type: Some(next()),
                tags,
                trace_id: Some(trace_id),
                span_id: Some(span_id),
                parent_span_id: Some(span_id >> 1),
                ..UsageEvent::default()
            };
            event.clean();
            prop_assert_eq!(event.check(), Ok(()));
            let once = event.clone();
            event.clean();
            prop_assert_eq!(event, once, "cleaning twice changes nothing");
        }
    }
}
