//! What makes a usage event storable, and conversions of its times.

use prost_types::{Duration, Timestamp};

use crate::v1::{Operation, Outcome, SpeedSource, UsageEvent, UsageSource};

/// Most events that one `EventBatch` may hold.
pub const MAX_EVENTS_PER_BATCH: usize = 5_000;

/// Most tokens of one request: a hundred times what the largest context windows hold. A
/// sum of `bigint` has room for nine billion such requests, so no sum can overflow.
const MAX_TOKENS: u64 = 1_000_000_000;

/// Most bytes of a body, and most events of a stream.
const MAX_BYTES: u64 = 1 << 50;
const MAX_CONTENT_EVENTS: u64 = 1 << 40;

/// Longest time within a request: a year. Absolute times may be older.
const MAX_DURATION_MICROS: i64 = 366 * 86_400 * 1_000_000;

/// Highest cost of a request in US dollars, most search units, highest rate in tokens
/// per second.
const MAX_COST_USD: f64 = 1e9;
const MAX_SEARCH_UNITS: f64 = 1e9;
const MAX_RATE: f64 = 1e9;

/// Why an event can never be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidEvent {
    /// Proto field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl UsageEvent {
    /// Checks what storage relies on. Fields that a newer peer added, or an
    /// older one leaves out, do not make an event invalid.
    ///
    /// # Errors
    /// The first field that makes it unstorable.
    pub fn check(&self) -> Result<(), InvalidEvent> {
        let require = |holds, field, problem| {
            if holds { Ok(()) } else { Err(InvalidEvent { field, problem }) }
        };
        require(
            self.event_id.len() == 36 && uuid::Uuid::try_parse(&self.event_id).is_ok(),
            "event_id",
            "is not a UUID of 36 characters",
        )?;
        require(
            (1..=128).contains(&self.replica_id.len()),
            "replica_id",
            "must have 1 to 128 bytes",
        )?;
        require(
            self.started_at.as_ref().and_then(micros_from_timestamp).is_some(),
            "started_at",
            "is missing or out of range",
        )?;
        for (field, value, limit) in self.texts() {
            require(value.len() <= limit, field, "is too long")?;
            require(!value.contains('\0'), field, "contains a NUL character")?;
        }
        require(self.tags.len() <= 16, "tags", "has more than 16 entries")?;
        require(
            self.tags.iter().all(|(name, value)| {
                name.len() <= 64
                    && value.len() <= 128
                    && !name.contains('\0')
                    && !value.contains('\0')
            }),
            "tags",
            "has a name over 64 bytes, a value over 128, or a NUL character",
        )?;
        require(
            self.trace_id.as_deref().is_none_or(is_trace_id),
            "trace_id",
            "is not 32 hexadecimal digits in lower case, or is 0",
        )?;
        for (field, id) in [("span_id", self.span_id), ("parent_span_id", self.parent_span_id)] {
            require(id != Some(0), field, "is 0")?;
        }
        for (field, count, limit) in self.counts() {
            require(count.unwrap_or(0) <= limit, field, "is out of range")?;
        }
        for (field, number, limit) in self.numbers() {
            let fits = number.is_none_or(|number| (0.0..=limit).contains(&number));
            require(fits, field, "is out of range")?;
        }
        for (field, part, whole) in self.parts() {
            let fits = part.zip(whole).is_none_or(|(part, whole)| part <= whole);
            require(fits, field, "is more than the whole that it is a part of")?;
        }
        for (field, duration) in self.durations() {
            let fits = duration.is_none_or(|duration| {
                micros_from_duration(duration).is_some_and(|micros| micros <= MAX_DURATION_MICROS)
            });
            require(fits, field, "is out of range")?;
        }
        let histogram_fits = self.token_gaps.as_ref().is_none_or(|histogram| {
            histogram.indexes.len() == histogram.counts.len()
                && histogram.indexes.iter().all(|index| *index < 1024)
                && histogram.indexes.is_sorted_by(|a, b| a < b)
                && histogram.counts.iter().all(|count| *count <= MAX_CONTENT_EVENTS)
        });
        require(histogram_fits, "token_gaps", "is not a valid histogram")
    }

    /// The outcome; a value that this version does not know is unspecified.
    #[must_use]
    pub fn known_outcome(&self) -> Outcome {
        Outcome::try_from(self.outcome).unwrap_or_default()
    }

    /// The operation; a value that this version does not know is unspecified.
    #[must_use]
    pub fn known_operation(&self) -> Operation {
        Operation::try_from(self.operation).unwrap_or_default()
    }

    /// The usage source; a value that this version does not know is
    /// unspecified.
    #[must_use]
    pub fn known_usage_source(&self) -> UsageSource {
        UsageSource::try_from(self.usage_source).unwrap_or_default()
    }

    /// The speed source; a value that this version does not know is
    /// unspecified.
    #[must_use]
    pub fn known_speed_source(&self) -> SpeedSource {
        SpeedSource::try_from(self.speed_source).unwrap_or_default()
    }

    fn texts(&self) -> [(&'static str, &str, usize); 16] {
        fn text(value: &Option<String>) -> &str {
            value.as_deref().unwrap_or_default()
        }
        [
            ("upstream", &self.upstream, 128),
            ("dialect", &self.dialect, 64),
            ("method", &self.method, 32),
            ("path", &self.path, 512),
            ("model_requested", text(&self.model_requested), 256),
            ("user_agent_family", text(&self.user_agent_family), 64),
            ("client_key", text(&self.client_key), 64),
            ("user", text(&self.user), 128),
            ("session", text(&self.session), 128),
            ("model", text(&self.model), 256),
            ("response_id", text(&self.response_id), 128),
            ("previous_response_id", text(&self.previous_response_id), 128),
            ("finish_reason", text(&self.finish_reason), 64),
            ("service_tier", text(&self.service_tier), 64),
            ("error_type", text(&self.error_type), 128),
            ("replica_id", &self.replica_id, 128),
        ]
    }

    fn counts(&self) -> [(&'static str, Option<u64>, u64); 20] {
        [
            ("prompt_tokens", self.prompt_tokens, MAX_TOKENS),
            ("cached_prompt_tokens", self.cached_prompt_tokens, MAX_TOKENS),
            ("cache_write_tokens", self.cache_write_tokens, MAX_TOKENS),
            ("cache_write_1h_tokens", self.cache_write_1h_tokens, MAX_TOKENS),
            ("completion_tokens", self.completion_tokens, MAX_TOKENS),
            ("reasoning_tokens", self.reasoning_tokens, MAX_TOKENS),
            ("audio_prompt_tokens", self.audio_prompt_tokens, MAX_TOKENS),
            ("audio_completion_tokens", self.audio_completion_tokens, MAX_TOKENS),
            ("cached_audio_prompt_tokens", self.cached_audio_prompt_tokens, MAX_TOKENS),
            ("image_prompt_tokens", self.image_prompt_tokens, MAX_TOKENS),
            ("cached_image_prompt_tokens", self.cached_image_prompt_tokens, MAX_TOKENS),
            ("image_completion_tokens", self.image_completion_tokens, MAX_TOKENS),
            ("images", self.images, MAX_TOKENS),
            ("characters", self.characters, MAX_TOKENS),
            ("total_tokens", self.total_tokens, 2 * MAX_TOKENS),
            ("billed_prompt_tokens", self.billed_prompt_tokens, MAX_TOKENS),
            ("billed_completion_tokens", self.billed_completion_tokens, MAX_TOKENS),
            ("content_events", Some(self.content_events), MAX_CONTENT_EVENTS),
            ("request_bytes", Some(self.request_bytes), MAX_BYTES),
            ("response_bytes", Some(self.response_bytes), MAX_BYTES),
        ]
    }

    /// None may be negative, infinite or no number.
    fn numbers(&self) -> [(&'static str, Option<f64>, f64); 4] {
        [
            ("search_units", self.search_units, MAX_SEARCH_UNITS),
            ("upstream_cost_usd", self.upstream_cost_usd, MAX_COST_USD),
            ("prefill_tokens_per_second", self.prefill_tokens_per_second, MAX_RATE),
            ("decode_tokens_per_second", self.decode_tokens_per_second, MAX_RATE),
        ]
    }

    /// Parts and their wholes: a share above 100 % would be shown to people.
    fn parts(&self) -> [(&'static str, Option<u64>, Option<u64>); 2] {
        [
            ("cached_prompt_tokens", self.cached_prompt_tokens, self.prompt_tokens),
            ("cache_write_1h_tokens", self.cache_write_1h_tokens, self.cache_write_tokens),
        ]
    }

    fn durations(&self) -> [(&'static str, Option<&Duration>); 7] {
        [
            ("connect", self.connect.as_ref()),
            ("upstream_sent", self.upstream_sent.as_ref()),
            ("upstream_head", self.upstream_head.as_ref()),
            ("first_token", self.first_token.as_ref()),
            ("last_token", self.last_token.as_ref()),
            ("duration", self.duration.as_ref()),
            ("billed_audio", self.billed_audio.as_ref()),
        ]
    }
}

/// Whether a text is the id of a trace: 32 hexadecimal digits in lower case, not all of
/// them 0 (W3C Trace Context, 3.2.2.3).
#[must_use]
pub fn is_trace_id(text: &str) -> bool {
    text.len() == 32
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && text.bytes().any(|byte| byte != b'0')
}

/// Microseconds since 1970, from a timestamp of the years 1 to 9999.
#[must_use]
pub fn micros_from_timestamp(timestamp: &Timestamp) -> Option<i64> {
    let in_range = (-62_135_596_800..=253_402_300_799).contains(&timestamp.seconds)
        && (0..1_000_000_000).contains(&timestamp.nanos);
    in_range.then(|| timestamp.seconds * 1_000_000 + i64::from(timestamp.nanos) / 1_000)
}

/// A timestamp, from microseconds since 1970.
#[must_use]
pub fn timestamp_from_micros(micros: i64) -> Timestamp {
    Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}

/// Microseconds of a duration of 0 to about 10,000 years.
#[must_use]
pub fn micros_from_duration(duration: &Duration) -> Option<i64> {
    let in_range = (0..=315_576_000_000).contains(&duration.seconds)
        && (0..1_000_000_000).contains(&duration.nanos);
    in_range.then(|| duration.seconds * 1_000_000 + i64::from(duration.nanos) / 1_000)
}

/// A duration, from microseconds; negative ones become 0.
#[must_use]
pub fn duration_from_micros(micros: i64) -> Duration {
    let micros = micros.max(0);
    Duration {
        seconds: micros / 1_000_000,
        nanos: i32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::LogHistogram;

    fn valid() -> UsageEvent {
        let micros = 1_764_000_000_000_123;
        UsageEvent {
            event_id: uuid::Uuid::from_u128(crate::event_id(micros, 1)).to_string(),
            replica_id: "a".into(),
            started_at: Some(timestamp_from_micros(micros.cast_signed())),
            ..UsageEvent::default()
        }
    }

    #[test]
    fn an_event_with_only_its_identity_is_valid() {
        assert_eq!(valid().check(), Ok(()));
    }

    #[test]
    fn each_unstorable_field_is_named() {
        type Spoil = fn(&mut UsageEvent);
        let cases: [(&str, Spoil); 20] = [
            ("event_id", |event| event.event_id = "x".into()),
            ("trace_id", |event| event.trace_id = Some("4BF92F3577B34DA6A3CE929D0E0E4736".into())),
            ("trace_id", |event| event.trace_id = Some("0".repeat(32))),
            ("span_id", |event| event.span_id = Some(0)),
            ("replica_id", |event| event.replica_id.clear()),
            ("started_at", |event| event.started_at = None),
            ("path", |event| event.path = "a".repeat(513)),
            ("model", |event| event.model = Some("a\0b".into())),
            ("prompt_tokens", |event| event.prompt_tokens = Some(u64::MAX)),
            ("completion_tokens", |event| event.completion_tokens = Some(i64::MAX as u64)),
            ("cached_prompt_tokens", |event| {
                event.prompt_tokens = Some(100);
                event.cached_prompt_tokens = Some(9_900);
            }),
            ("response_bytes", |event| event.response_bytes = i64::MAX as u64),
            ("duration", |event| event.duration = Some(Duration { seconds: -1, nanos: 0 })),
            ("billed_audio", |event| {
                event.billed_audio = Some(Duration { seconds: 315_576_000_000, nanos: 0 });
            }),
            ("upstream_cost_usd", |event| event.upstream_cost_usd = Some(f64::INFINITY)),
            ("upstream_cost_usd", |event| event.upstream_cost_usd = Some(-1.0)),
            ("search_units", |event| event.search_units = Some(f64::NAN)),
            ("decode_tokens_per_second", |event| {
                event.decode_tokens_per_second = Some(f64::MAX);
            }),
            ("prefill_tokens_per_second", |event| {
                event.prefill_tokens_per_second = Some(f64::NEG_INFINITY);
            }),
            ("token_gaps", |event| {
                event.token_gaps = Some(LogHistogram { indexes: vec![2, 1], counts: vec![1, 1] });
            }),
        ];
        for (field, spoil) in cases {
            let mut event = valid();
            spoil(&mut event);
            assert_eq!(event.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn times_survive_both_conversions_to_the_microsecond() {
        for micros in [0, 1, -1, 1_764_000_000_123_456, -62_135_596_800_000_000] {
            assert_eq!(micros_from_timestamp(&timestamp_from_micros(micros)), Some(micros));
        }
        assert_eq!(micros_from_duration(&duration_from_micros(1_234_567)), Some(1_234_567));
        assert_eq!(micros_from_duration(&duration_from_micros(-5)), Some(0));
    }

    #[test]
    fn an_unknown_enum_value_of_a_newer_peer_is_unspecified() {
        let event = UsageEvent { outcome: 999, ..valid() };
        assert_eq!(event.check(), Ok(()));
        assert_eq!(event.known_outcome(), Outcome::Unspecified);
    }
}
