//! Random events and questions, from a seed that a failed test names.

use chrono::{DateTime, TimeDelta, Utc};
use modash_proto::{
    duration_from_micros, timestamp_from_micros,
    v1::{Dimension, Filter, GroupBy, LogHistogram, TimeRange, UsageEvent, group_by::By},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::harness::at;

const ZONES: [&str; 7] = [
    "",
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
];

const MODELS: [Option<&str>; 5] = [Some("a"), Some("b"), Some("c"), Some(""), None];

/// Draws from a seed.
pub(crate) struct Random(StdRng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    fn one<T: Copy>(&mut self, values: &[T]) -> T {
        *values.choose(&mut self.0).unwrap()
    }

    fn maybe<T>(&mut self, share: f64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.0.random_bool(share).then(|| value(self))
    }

    fn count(&mut self) -> Option<u64> {
        self.maybe(0.8, |random| random.0.random_range(0..2000))
    }

    /// A moment in the weeks around the end of daylight-saving time of 2025, on a
    /// whole second or not.
    fn moment(&mut self) -> DateTime<Utc> {
        let micros = self.0.random_range(0..16_i64 * 86_400_000_000);
        let micros = if self.0.random_bool(0.3) { micros - micros % 3_600_000_000 } else { micros };
        at("2025-10-20T00:00:00Z") + TimeDelta::microseconds(micros)
    }

    pub(crate) fn event(&mut self) -> UsageEvent {
        let text = |text: &str| text.to_owned();
        let lasting = match self.0.random_range(0..11) {
            0 => 0,
            1 => 8 * 3_600_000_000,
            _ => 1_200_000_000,
        };
        let prompt_tokens = self.count();
        let at_most = prompt_tokens.unwrap_or(u64::MAX);
        UsageEvent {
            model: self.one(&MODELS).map(Into::into),
            model_requested: None,
            upstream: text(self.one(&["default", "cloud"])),
            dialect: text(self.one(&["openai-chat", "anthropic-messages"])),
            operation: self.one(&[1, 2, 3, 4, 10, 11, 12]),
            outcome: self.one(&[1, 1, 1, 2, 3, 6, 0, 42]),
            error_type: self.maybe(0.5, |random| text(random.one(&["http_502", "overloaded"]))),
            usage_source: self.one(&[1, 2, 3, 4, 5]),
            client_key: self.maybe(0.7, |random| text(random.one(&["k1", "k2"]))),
            user: self.maybe(0.7, |random| text(random.one(&["u1", "u2", "u3"]))),
            user_agent_family: self.maybe(0.7, |random| text(random.one(&["curl", "go"]))),
            session: self.maybe(0.5, |random| text(random.one(&["s1", "s2"]))),
            trace_id: self.maybe(0.5, |random| random.one(&["1", "2"]).repeat(32)),
            tags: self
                .maybe(0.6, |random| (text("team"), text(random.one(&["x", "y", ""]))))
                .into_iter()
                .collect(),
            stream: self.0.random_bool(0.5),
            prompt_tokens,
            cached_prompt_tokens: self.count().map(|count| count.min(at_most)),
            cache_write_tokens: self.count(),
            completion_tokens: self.count(),
            reasoning_tokens: self.count(),
            total_tokens: self.count(),
            duration: self
                .maybe(0.9, |random| duration_from_micros(random.0.random_range(0..=lasting))),
            first_token: self
                .maybe(0.5, |random| duration_from_micros(random.0.random_range(0..9_000_000))),
            decode_tokens_per_second: self.maybe(0.5, |random| random.0.random_range(1.0..200.0)),
            prefill_tokens_per_second: self.maybe(0.5, |random| random.0.random_range(1.0..5e3)),
            token_gaps: self.maybe(0.5, |random| {
                let first = random.0.random_range(0..500);
                let counts = vec![random.0.random_range(1..300), random.0.random_range(1..300)];
                LogHistogram { indexes: vec![first, first + 30], counts }
            }),
            ..modash_test_support::event_at(self.moment().timestamp_micros())
        }
    }

    pub(crate) fn range(&mut self) -> TimeRange {
        let (mut start, mut end) = (self.moment(), self.moment());
        if start == end {
            end += TimeDelta::hours(1);
        } else if start > end {
            std::mem::swap(&mut start, &mut end);
        }
        let wire = |moment: DateTime<Utc>| Some(timestamp_from_micros(moment.timestamp_micros()));
        TimeRange { start: wire(start), end: wire(end) }
    }

    pub(crate) fn zone(&mut self) -> String {
        self.one(&ZONES).into()
    }

    /// Widths that fit into 16 days.
    pub(crate) fn bucket_seconds(&mut self) -> u32 {
        self.one(&[0, 0, 1_000, 1_800, 3_600, 5_400, 21_600, 25_000, 86_400, 172_800, 604_800])
    }

    pub(crate) fn group_by(&mut self) -> Option<GroupBy> {
        let by = match self.0.random_range(0..13) {
            0 | 1 => return None,
            2 => By::Tag("team".into()),
            dimension => By::Dimension(match dimension {
                3 => Dimension::Model.into(),
                4 => Dimension::Upstream.into(),
                5 => Dimension::Outcome.into(),
                6 => Dimension::ClientKey.into(),
                7 => Dimension::User.into(),
                8 => Dimension::Operation.into(),
                9 => Dimension::UserAgent.into(),
                10 => Dimension::Dialect.into(),
                11 => Dimension::Session.into(),
                _ => Dimension::ErrorType.into(),
            }),
        };
        Some(GroupBy { by: Some(by) })
    }

    pub(crate) fn top(&mut self) -> u32 {
        self.0.random_range(0..5)
    }

    pub(crate) fn page_size(&mut self) -> u32 {
        self.0.random_range(1..=100)
    }

    /// Asks for little and excludes little, so that something is left.
    pub(crate) fn filter(&mut self) -> Option<Filter> {
        let mut filter = Filter::default();
        for _ in 0..self.0.random_range(0..3) {
            match self.0.random_range(0..13) {
                0 => filter.models = vec!["a".into(), String::new()],
                1 => filter.upstreams = vec!["cloud".into()],
                2 => filter.dialects = vec!["openai-chat".into(), "none".into()],
                3 => filter.operations = vec![1, 2, 70_000],
                4 => filter.outcomes = vec![1, 6],
                5 => filter.client_keys = vec!["k1".into()],
                6 => filter.users = vec!["u1".into(), String::new()],
                7 => filter.sessions = vec!["s1".into()],
                8 => filter.trace_ids = vec!["1".repeat(32)],
                9 => filter.tags = [("team".into(), "x".into())].into(),
                10 => filter.min_prompt_tokens = Some(500),
                11 => filter.max_prompt_tokens = self.maybe(0.8, |_| 1_500),
                _ => filter.stream = Some(self.0.random_bool(0.5)),
            }
        }
        for _ in 0..self.0.random_range(0..3) {
            let exclude = filter.exclude.get_or_insert_default();
            match self.0.random_range(0..10) {
                0 => exclude.models = vec!["b".into(), "none".into()],
                1 => exclude.models = vec![String::new()],
                2 => exclude.upstreams = vec!["cloud".into()],
                3 => exclude.dialects = vec!["openai-chat".into()],
                4 => exclude.operations = vec![3, 11, 70_000],
                5 => exclude.outcomes = vec![2, 42],
                6 => exclude.client_keys = vec!["k2".into()],
                7 => exclude.users = vec!["u2".into(), String::new()],
                8 => exclude.sessions = vec!["s2".into(), String::new()],
                _ => exclude.tags = [("team".into(), "y".into())].into(),
            }
        }
        self.0.random_bool(0.8).then_some(filter)
    }
}
