//! A request in flight as clients of `/events` see it.

use std::sync::Arc;

use bytes::Bytes;
use modash_proto::v1::{LiveRequest, Outcome, RequestPhase};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::view::View;

/// One state of a request.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Id of the request. Sorts by start.
    pub(crate) id: Arc<str>,
    /// Whether this is its last state.
    pub(crate) ended: bool,
    /// Its JSON.
    pub(crate) json: Arc<RawValue>,
    /// Its message, encoded.
    pub(crate) message: Bytes,
}

/// All fields of the message as `/rpc` would show them, and three more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    id: &'a str,
    state: &'static str,
    completion_tokens: u64,
    #[serde(flatten)]
    request: View<'a>,
}

impl Live {
    /// `None` if the request has no JSON form, which none of our own lacks.
    pub(crate) fn new(descriptor: &MessageDescriptor, request: &LiveRequest) -> Option<Self> {
        let mut message = DynamicMessage::new(descriptor.clone());
        message.transcode_from(request).ok()?;
        let json = Json {
            id: &request.event_id,
            state: state(request),
            completion_tokens: request.content_events,
            request: View(&message),
        };
        Some(Self {
            id: request.event_id.as_str().into(),
            ended: request.phase() == RequestPhase::Ended,
            json: serde_json::value::to_raw_value(&json).ok()?.into(),
            message: request.encode_to_vec().into(),
        })
    }
}

fn state(request: &LiveRequest) -> &'static str {
    match (request.phase(), request.outcome()) {
        (RequestPhase::Ended, Outcome::Ok) => "completed",
        (RequestPhase::Ended, Outcome::ClientClosed) => "cancelled",
        (RequestPhase::Ended, _) => "failed",
        (RequestPhase::Streaming, _) => "streaming",
        (RequestPhase::Connecting | RequestPhase::Waiting | RequestPhase::Unspecified, _) => {
            "queued"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;
    use serde_json::{Value, json};

    fn live(request: &LiveRequest) -> Value {
        let descriptor = Contract::new().unwrap().message("modash.v1.LiveRequest").unwrap();
        let live = Live::new(&descriptor, request).unwrap();
        serde_json::from_str(live.json.get()).unwrap()
    }

    #[test]
    fn a_request_has_the_keys_of_the_specification_and_those_of_the_message() {
        let seen = live(&LiveRequest {
            event_id: "01JD".to_owned(),
            started_at: Some(prost_types::Timestamp { seconds: 1_795_441_353, nanos: 900_000_000 }),
            phase: RequestPhase::Streaming.into(),
            model: Some("qwen3-8b".to_owned()),
            content_events: 12,
            ..Default::default()
        });
        for (key, value) in [
            ("id", json!("01JD")),
            ("state", json!("streaming")),
            ("model", json!("qwen3-8b")),
            ("startedAt", json!(1_795_441_353_900_u64)),
            ("firstTokenAt", Value::Null),
            ("completionTokens", json!(12)),
            ("contentEvents", json!(12)),
            ("phase", json!("REQUEST_PHASE_STREAMING")),
            ("clientKey", Value::Null),
            ("responseBytes", json!(0)),
        ] {
            assert_eq!(seen.get(key), Some(&value), "{key}");
        }
    }

    #[test]
    fn an_ended_request_is_completed_failed_or_cancelled() {
        let ended = |outcome: Outcome| {
            let request = LiveRequest {
                phase: RequestPhase::Ended.into(),
                outcome: outcome.into(),
                ..Default::default()
            };
            live(&request)["state"].clone()
        };
        assert_eq!(ended(Outcome::Ok), "completed");
        assert_eq!(ended(Outcome::ClientClosed), "cancelled");
        assert_eq!(ended(Outcome::Truncated), "failed");
        assert_eq!(ended(Outcome::Interrupted), "failed");
    }
}
