//! The metrics of the GenAI conventions, with the buckets that they prescribe. Models
//! are limited as in `/metrics`, by the SDK's own limit of attribute sets (2,000).

use modash_proto::{
    micros_from_duration,
    v1::{Outcome, UsageEvent},
};
use modash_telemetry::{
    opentelemetry::{
        KeyValue,
        metrics::{Histogram, Meter},
    },
    semconv,
};

use super::{Server, attributes};

/// Instruments of calls to upstreams.
#[derive(Debug)]
pub(super) struct Instruments {
    duration: Histogram<f64>,
    tokens: Histogram<u64>,
    first_token: Histogram<f64>,
    per_token: Histogram<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let seconds = |name: &'static str, about: &'static str, bounds: &[f64]| {
            let builder = meter.f64_histogram(name).with_unit("s").with_description(about);
            builder.with_boundaries(bounds.to_vec()).build()
        };
        Self {
            duration: seconds(
                semconv::GEN_AI_CLIENT_OPERATION_DURATION,
                "Time from a request's head to the last byte of its answer.",
                &semconv::DURATION_BUCKETS,
            ),
            first_token: seconds(
                semconv::GEN_AI_SERVER_TIME_TO_FIRST_TOKEN,
                "Time from a request's being sent to the first generated content of a stream.",
                &semconv::FIRST_TOKEN_BUCKETS,
            ),
            per_token: seconds(
                semconv::GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN,
                "Time for each output token after the first of a stream.",
                &semconv::PER_TOKEN_BUCKETS,
            ),
            tokens: meter
                .u64_histogram(semconv::GEN_AI_CLIENT_TOKEN_USAGE)
                .with_unit("{token}")
                .with_description("Tokens that requests used, by type.")
                .with_boundaries(semconv::TOKEN_BUCKETS.to_vec())
                .build(),
        }
    }

    pub(super) fn record(&self, event: &UsageEvent, server: &Server) {
        let seconds = |duration: &Option<prost_types::Duration>| {
            duration.as_ref().and_then(micros_from_duration).map(|micros| micros as f64 / 1e6)
        };
        if attributes::operation(event).is_none() {
            return;
        }
        let common = attributes::common(event, server);
        if let Some(duration) = seconds(&event.duration) {
            self.duration.record(duration, &common);
        }
        for (kind, count) in [("input", event.prompt_tokens), ("output", event.completion_tokens)] {
            if let Some(count) = count.filter(|_| attributes::has_reported_usage(event)) {
                let kind = KeyValue::new(semconv::GEN_AI_TOKEN_TYPE, kind);
                self.tokens.record(count, &[&common[..], &[kind]].concat());
            }
        }
        // The conventions have these of successful responses only.
        let first = seconds(&event.first_token).filter(|_| event.known_outcome() == Outcome::Ok);
        let Some(first) = first else { return };
        let sent = seconds(&event.upstream_sent).unwrap_or(0.0);
        self.first_token.record((first - sent).max(0.0), &common);
        if let (Some(last), Some(tokens @ 2..)) =
            (seconds(&event.last_token), event.completion_tokens)
        {
            self.per_token.record((last - first).max(0.0) / (tokens - 1) as f64, &common);
        }
    }
}
