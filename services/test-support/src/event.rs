//! Usage events that can be stored as they are; a test overrides what matters
//! to it: `UsageEvent { model: Some("m".into()), ..event() }`.

use std::time::{SystemTime, UNIX_EPOCH};

use modash_proto::{
    duration_from_micros, event_id, micros_from_timestamp, timestamp_from_micros,
    v1::{LogHistogram, Operation, Outcome, SpeedSource, UsageEvent, UsageSource},
};
use uuid::Uuid;

/// A successful chat completion, not streamed, that began now: 100 prompt tokens
/// (20 of them cached), 50 completion tokens, 800 ms.
#[must_use]
pub fn event() -> UsageEvent {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    event_at(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// Takes away what analytics adds to an event, so that it is as it was sent.
pub fn as_sent(event: &mut UsageEvent) {
    event.cost = None;
}

/// [`event`] that began at `micros` since 1970, UTC.
#[must_use]
pub fn event_at(micros: i64) -> UsageEvent {
    UsageEvent {
        event_id: id_at(micros),
        replica_id: "replica-1".into(),
        started_at: Some(timestamp_from_micros(micros)),
        upstream: "default".into(),
        dialect: "openai-chat".into(),
        operation: Operation::Chat.into(),
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        model_requested: Some("qwen3-8b".into()),
        model: Some("qwen3-8b".into()),
        user_agent_family: Some("openai-python".into()),
        status: Some(200),
        finish_reason: Some("stop".into()),
        outcome: Outcome::Ok.into(),
        usage_source: UsageSource::Upstream.into(),
        prompt_tokens: Some(100),
        cached_prompt_tokens: Some(20),
        completion_tokens: Some(50),
        total_tokens: Some(150),
        connect: Some(duration_from_micros(1_000)),
        upstream_head: Some(duration_from_micros(790_000)),
        duration: Some(duration_from_micros(800_000)),
        request_bytes: 400,
        response_bytes: 900,
        ..UsageEvent::default()
    }
}

/// Another request like this one, which began at the same time.
#[must_use]
pub fn another(like: UsageEvent) -> UsageEvent {
    let micros = like.started_at.as_ref().and_then(micros_from_timestamp).unwrap_or_default();
    UsageEvent { event_id: id_at(micros), ..like }
}

fn id_at(micros: i64) -> String {
    let random = Uuid::new_v4().as_u128() as u64;
    Uuid::from_u128(event_id(micros.try_into().unwrap_or_default(), random)).to_string()
}

/// [`event`], streamed: first token after 100 ms, last after 800 ms, 50 content
/// events, 70 tokens/s of decoding (49 tokens in 700 ms).
#[must_use]
pub fn stream_event() -> UsageEvent {
    UsageEvent {
        stream: true,
        upstream_head: Some(duration_from_micros(90_000)),
        first_token: Some(duration_from_micros(100_000)),
        last_token: Some(duration_from_micros(800_000)),
        content_events: 50,
        // 14.3 ms: 1.04^243 < 14,300 <= 1.04^244.
        token_gaps: Some(LogHistogram { indexes: vec![244], counts: vec![49] }),
        prefill_tokens_per_second: Some(800.0),
        decode_tokens_per_second: Some(70.0),
        speed_source: SpeedSource::Measured.into(),
        ..event()
    }
}

/// [`event`] that ended with `outcome` and thus has no usage; `status` as the
/// client saw it.
#[must_use]
pub fn failed_event(outcome: Outcome, status: Option<u32>) -> UsageEvent {
    UsageEvent {
        status,
        finish_reason: None,
        outcome: outcome.into(),
        error_type: status.map(|status| format!("http_{status}")),
        usage_source: UsageSource::NotReported.into(),
        prompt_tokens: None,
        cached_prompt_tokens: None,
        completion_tokens: None,
        total_tokens: None,
        ..event()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_event_can_be_stored() {
        for event in [event(), stream_event(), failed_event(Outcome::HttpError, Some(500))] {
            assert_eq!(event.check(), Ok(()));
        }
    }

    #[test]
    fn two_events_have_two_ids() {
        assert_ne!(event().event_id, event().event_id);
    }
}
