//! Rate limits that messages of a socket or a stream state: OpenAI's
//! `rate_limits.updated`, Codex' `codex.rate_limits`.

use std::time::Duration;

use super::{Found, MOST, Measure, RateLimit, RateLimitKind, RateLimits, When, is_window, time};
use crate::json::{Slot, Slots};

/// What the messages of an exchange have stated so far: of each limit the last word.
#[derive(Debug, Default)]
pub(crate) struct Stated {
    /// By the message that is being read, whose time is not known yet.
    fresh: Option<RateLimits>,
    limits: Vec<RateLimit>,
    /// When the last message came.
    at: Duration,
}

/// Slots of what one limit states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) limit: Slot,
    pub(crate) remaining: Slot,
    /// In seconds.
    pub(crate) reset: Slot,
}

/// Slots of what one window of a plan states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) used_percent: Slot,
    pub(crate) minutes: Slot,
    pub(crate) reset_at: Slot,
    pub(crate) reset_after_seconds: Slot,
}

/// Takes limits of requests and of tokens.
#[cold]
pub(crate) fn updated(
    stated: &mut Option<Box<Stated>>,
    slots: &Slots,
    limits: [(RateLimitKind, Counts); 2],
) {
    let mut found = Found::default();
    for (kind, counts) in limits {
        // A fraction of a token is none, as in a header.
        let count = |slot| slots.number(slot).and_then(super::whole);
        for measure in [
            count(counts.limit).map(Measure::Limit),
            count(counts.remaining).map(Measure::Remaining),
            slots.number(counts.reset).and_then(time::after).map(Measure::Resets),
        ] {
            note(&mut found, kind, "", measure);
        }
    }
    keep(stated, found);
}

/// Takes the windows of a plan; `pool` is whose they are, under Codex' name.
#[cold]
pub(crate) fn plan(
    stated: &mut Option<Box<Stated>>,
    slots: &Slots,
    pool: Option<&[u8]>,
    windows: [(&str, Window); 2],
) {
    let Some(pool) = pool_name(pool) else { return };
    let mut found = Found::default();
    for (name, window) in windows {
        let of_pool = format!("{pool}{name}");
        if !is_window(&of_pool) {
            continue;
        }
        let resets = slots.number(window.reset_at).and_then(time::at);
        let resets =
            resets.or_else(|| slots.number(window.reset_after_seconds).and_then(time::after));
        for measure in [
            slots.number(window.used_percent).and_then(super::percent).map(Measure::Used),
            slots.number(window.minutes).and_then(super::whole).map(Measure::Minutes),
            resets.map(Measure::Resets),
        ] {
            note(&mut found, RateLimitKind::Plan, &of_pool, measure);
        }
    }
    keep(stated, found);
}

/// What stands before the name of a window: as in a header, `codex_other` is the pool
/// `other`, and `codex` none.
fn pool_name(name: Option<&[u8]>) -> Option<String> {
    let Some(name) = name else { return Some(String::new()) };
    let name = std::str::from_utf8(name).ok()?.trim().to_ascii_lowercase().replace('_', "-");
    let pool = match name.strip_prefix("codex") {
        Some("") => return Some(String::new()),
        Some(rest) => rest.strip_prefix('-').unwrap_or(&name),
        None => &name,
    };
    Some(format!("{pool}-"))
}

fn note(found: &mut Found, kind: RateLimitKind, window: &str, measure: Option<Measure>) {
    if let Some(measure) = measure {
        found.note(kind, window, measure);
    }
}

fn keep(stated: &mut Option<Box<Stated>>, found: Found) {
    if let Some(limits) = found.finish() {
        stated.get_or_insert_default().fresh = Some(limits);
    }
}

impl Stated {
    /// The message has ended.
    #[inline]
    pub(crate) fn settle(&mut self, at: Duration) {
        if let Some(fresh) = self.fresh.take() {
            self.take(fresh.limits, at);
        }
    }

    #[cold]
    fn take(&mut self, fresh: Vec<RateLimit>, at: Duration) {
        let passed = at.saturating_sub(self.at);
        self.at = self.at.max(at);
        for limit in &mut self.limits {
            if let Some(When::After(time)) = &mut limit.resets {
                *time = time.saturating_sub(passed);
            }
        }
        for limit in fresh {
            let same = |old: &RateLimit| (old.kind, &old.window) == (limit.kind, &limit.window);
            match self.limits.iter().position(same) {
                Some(at) => self.limits[at] = limit,
                None if self.limits.len() < MOST => self.limits.push(limit),
                None => {}
            }
        }
    }

    /// What was stated last, and what the response head states of other limits. When those
    /// reset is known only if the head names the moment.
    pub(crate) fn finish(self, head: Option<RateLimits>) -> RateLimits {
        let mut limits = self.limits;
        for mut limit in head.map(|head| head.limits).unwrap_or_default() {
            let known = limits
                .iter()
                .any(|other| (other.kind, &other.window) == (limit.kind, &limit.window));
            if !known && limits.len() < MOST {
                limit.resets = limit.resets.filter(|when| matches!(when, When::At(_)));
                limits.push(limit);
            }
        }
        RateLimits { limits, retry_after: None, at: Some(self.at) }
    }
}
