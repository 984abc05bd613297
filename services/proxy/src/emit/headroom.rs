//! What is left of the upstreams' rate limits, for `/metrics`: the lowest of all keys in
//! the last one to two minutes, by upstream, kind and window. Filled by the delivery
//! thread from the events. Keys are no label: their number has no bound.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use modash_proto::v1::{RateLimit, RateLimitKind, RateLimits};
use modash_runtime::Description;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use prost::Message as _;

use super::glance::Glance;

/// Most label sets; what is beyond is left out.
const MOST_SERIES: usize = 500;

/// How long a value counts at least.
const PERIOD: Duration = Duration::from_secs(60);

const LABELS: [&str; 3] = ["upstream", "kind", "window"];

const DESCRIPTIONS: [Description; 3] = [
    Description::gauge(
        "modash_proxy_rate_limit_remaining_ratio",
        "Share of an upstream's rate limit that was left, 0 to 1: the lowest of all keys in the \
         last minute",
    )
    .labelled(&LABELS),
    Description::gauge(
        "modash_proxy_rate_limit_remaining",
        "Requests or tokens that an upstream's rate limit left: the lowest of all keys in the \
         last minute",
    )
    .labelled(&LABELS),
    Description::counter(
        "modash_proxy_requests_rate_limited",
        "Requests that an upstream answered with 429",
    )
    .labelled(&["upstream"]),
];

/// What is said of these metrics.
pub(crate) fn descriptions() -> &'static [Description] {
    &DESCRIPTIONS
}

/// Lowest values of all cores.
#[derive(Debug, Default)]
pub(crate) struct Headroom {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    limits: HashMap<Labels, Lowest>,
    /// Answers with 429 by upstream.
    refused: HashMap<String, u64>,
}

/// Upstream, kind and window.
type Labels = (String, i32, String);

/// The lowest values of the period that goes on, and of the one before it.
#[derive(Debug)]
struct Lowest {
    begun: Instant,
    now: Values,
    before: Values,
}

#[derive(Debug, Default, Clone, Copy)]
struct Values {
    ratio: Option<f64>,
    remaining: Option<u64>,
}

impl Values {
    fn of(limit: &RateLimit) -> Self {
        let ratio = match (limit.used_share, limit.remaining, limit.limit) {
            (Some(used), ..) => Some((1.0 - used).clamp(0.0, 1.0)),
            (None, Some(remaining), Some(limit)) if limit > 0 => {
                Some((remaining as f64 / limit as f64).min(1.0))
            }
            _ => None,
        };
        Self { ratio, remaining: limit.remaining }
    }

    fn min(self, other: Self) -> Self {
        let ratio = match (self.ratio, other.ratio) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let remaining = self.remaining.into_iter().chain(other.remaining).min();
        Self { ratio, remaining }
    }
}

impl Lowest {
    /// Ends periods that are over.
    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun);
        if passed < PERIOD {
            return;
        }
        let before = std::mem::take(&mut self.now);
        self.before = if passed < 2 * PERIOD { before } else { Values::default() };
        self.begun = now;
    }
}

impl Headroom {
    /// Takes the event of a request that ended.
    pub(super) fn add(&self, event: &Glance<'_>) {
        // Most events have neither.
        if event.rate_limits.is_some() || event.status == Some(429) {
            self.inner().add(event, Instant::now());
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, event: &Glance<'_>, now: Instant) {
        if event.status == Some(429) {
            *self.refused.entry(event.upstream.to_owned()).or_default() += 1;
        }
        let limits = event.rate_limits.and_then(|bytes| RateLimits::decode(bytes).ok());
        for limit in limits.into_iter().flat_map(|limits| limits.limits) {
            let values = Values::of(&limit);
            let labels = (event.upstream.to_owned(), limit.kind, limit.window);
            if self.limits.len() >= MOST_SERIES && !self.limits.contains_key(&labels) {
                continue;
            }
            let lowest = self.limits.entry(labels).or_insert_with(|| Lowest {
                begun: now,
                now: Values::default(),
                before: Values::default(),
            });
            lowest.advance(now);
            lowest.now = lowest.now.min(values);
        }
    }

    /// What counts now; limits that were not stated for long are forgotten.
    fn lowest(&mut self, now: Instant) -> Vec<(&Labels, Values)> {
        self.limits.retain(|_, lowest| {
            lowest.advance(now);
            let values = lowest.now.min(lowest.before);
            values.ratio.is_some() || values.remaining.is_some()
        });
        self.limits.iter().map(|(labels, lowest)| (labels, lowest.now.min(lowest.before))).collect()
    }
}

/// The kind as a label: `requests`, `input_tokens`.
fn kind(number: i32) -> String {
    let kind = RateLimitKind::try_from(number).unwrap_or_default().as_str_name();
    kind.trim_start_matches("RATE_LIMIT_KIND_").to_ascii_lowercase()
}

/// Shows headroom.
#[derive(Debug)]
pub(crate) struct HeadroomMetrics(pub(crate) Arc<Headroom>);

impl Collector for HeadroomMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut inner = self.0.inner();
        let lowest = inner.lowest(Instant::now());
        let of_values: [fn(&Values) -> Option<f64>; 2] =
            [|values| values.ratio, |values| values.remaining.map(|count| count as f64)];
        for (about, value) in DESCRIPTIONS.iter().zip(of_values) {
            if !lowest.iter().any(|(_, values)| value(values).is_some()) {
                continue;
            }
            let mut encoder = about.begin(&mut encoder)?;
            for ((upstream, number, window), values) in &lowest {
                let Some(value) = value(values) else { continue };
                let kind = kind(*number);
                let values = [upstream.as_str(), kind.as_str(), window.as_str()];
                let labels: [(&str, &str); 3] = std::array::from_fn(|at| (LABELS[at], values[at]));
                ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
            }
        }
        if inner.refused.is_empty() {
            return Ok(());
        }
        let mut encoder = DESCRIPTIONS[2].begin(&mut encoder)?;
        for (upstream, count) in &inner.refused {
            let labels = [(LABELS[0], upstream.as_str())];
            ConstCounter::new(*count).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use modash_proto::v1::UsageEvent;
    use modash_runtime::Metrics;

    use super::*;
    use crate::usage_event::EncodedEvent;

    fn limit(kind: RateLimitKind, window: &str, remaining: u64, limit: u64) -> RateLimit {
        RateLimit {
            kind: kind.into(),
            window: window.to_owned(),
            limit: Some(limit),
            remaining: Some(remaining),
            ..RateLimit::default()
        }
    }

    fn event(status: u32, limits: Vec<RateLimit>) -> EncodedEvent {
        let limits = RateLimits { limits, ..RateLimits::default() };
        let event = UsageEvent {
            upstream: "openai".to_owned(),
            status: Some(status),
            rate_limits: Some(limits).filter(|limits| !limits.limits.is_empty()),
            ..UsageEvent::default()
        };
        event.encode_to_vec().into()
    }

    #[test]
    fn the_lowest_of_all_keys_is_shown() {
        let headroom = Arc::new(Headroom::default());
        let plan = RateLimit {
            kind: RateLimitKind::Plan.into(),
            window: "5h".to_owned(),
            used_share: Some(1.2),
            ..RateLimit::default()
        };
        let events = [
            event(200, vec![limit(RateLimitKind::InputTokens, "", 300, 400), plan]),
            event(429, vec![limit(RateLimitKind::InputTokens, "", 100, 400)]),
            event(200, vec![limit(RateLimitKind::InputTokens, "", 200, 400)]),
            event(429, Vec::new()),
        ];
        events.iter().for_each(|event| headroom.add(&Glance::read(event).unwrap()));
        let metrics = Metrics::default();
        metrics.add_collector(Box::new(HeadroomMetrics(headroom)));
        let text = metrics.text();
        let tokens = r#"{upstream="openai",kind="input_tokens",window=""}"#;
        for line in [
            format!("modash_proxy_rate_limit_remaining_ratio{tokens} 0.25"),
            format!("modash_proxy_rate_limit_remaining{tokens} 100.0"),
            r#"modash_proxy_rate_limit_remaining_ratio{upstream="openai",kind="plan",window="5h"} 0.0"#
                .to_owned(),
            r#"modash_proxy_requests_rate_limited_total{upstream="openai"} 2"#.to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
    }

    #[test]
    fn a_value_counts_for_one_to_two_minutes() {
        let mut inner = Inner::default();
        let begun = Instant::now();
        let mut see = |remaining, after| {
            let event = event(200, vec![limit(RateLimitKind::Requests, "", remaining, 100)]);
            inner.add(&Glance::read(&event).unwrap(), begun + Duration::from_secs(after));
            let now = begun + Duration::from_secs(after);
            inner.lowest(now).first().and_then(|(_, values)| values.remaining)
        };
        assert_eq!(see(10, 0), Some(10));
        assert_eq!(see(90, 59), Some(10));
        assert_eq!(see(90, 61), Some(10), "the minute before counts");
        assert_eq!(see(80, 122), Some(80));
        assert_eq!(see(95, 300), Some(95), "what was long ago is forgotten");
        assert!(inner.lowest(begun + Duration::from_secs(500)).is_empty());
    }

    #[test]
    fn label_sets_are_limited() {
        let mut inner = Inner::default();
        let now = Instant::now();
        for at in 0..MOST_SERIES * 2 {
            let event = event(200, vec![limit(RateLimitKind::Other, &format!("w{at}"), 1, 2)]);
            inner.add(&Glance::read(&event).unwrap(), now);
        }
        assert_eq!(inner.lowest(now).len(), MOST_SERIES);
    }
}
