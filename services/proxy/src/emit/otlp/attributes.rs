//! Attributes of spans, from an event. Metadata only: no prompt, no answer, no key, no
//! end user.

use modash_proto::v1::{Operation, Outcome, UsageEvent, UsageSource};
use modash_telemetry::{
    opentelemetry::{Array, KeyValue, StringValue, Value},
    semconv,
};

use super::Server;

/// Of the request as modash served it.
pub(super) fn of_request(event: &UsageEvent) -> Vec<KeyValue> {
    let mut list = List::default();
    list.add(semconv::HTTP_REQUEST_METHOD, Some(event.method.clone()));
    list.add(semconv::URL_PATH, Some(event.path.clone()));
    list.add(semconv::HTTP_RESPONSE_STATUS_CODE, event.status.map(i64::from));
    list.add(semconv::HTTP_REQUEST_BODY_SIZE, whole(Some(event.request_bytes)));
    list.add(semconv::HTTP_RESPONSE_BODY_SIZE, whole(Some(event.response_bytes)));
    list.add(semconv::USER_AGENT_NAME, event.user_agent_family.clone());
    list.add(semconv::ERROR_TYPE, error_type(event));
    list.add("modash.event_id", Some(event.event_id.clone()));
    list.add("modash.upstream", Some(event.upstream.clone()));
    list.add("modash.outcome", Some(outcome(event)));
    list.0
}

/// Of the call to the upstream.
pub(super) fn of_call(event: &UsageEvent, server: &Server) -> Vec<KeyValue> {
    let mut list = List(common(event, server));
    list.add(semconv::HTTP_REQUEST_METHOD, Some(event.method.clone()));
    list.add(semconv::HTTP_RESPONSE_STATUS_CODE, event.status.map(i64::from));
    list.add("modash.upstream", Some(event.upstream.clone()));
    list.add("modash.dialect", Some(event.dialect.clone()));
    list.add("modash.outcome", Some(outcome(event)));
    if operation(event).is_none() {
        return list.0;
    }
    list.add(semconv::GEN_AI_REQUEST_STREAM, event.stream.then_some(true));
    list.add(semconv::GEN_AI_RESPONSE_ID, event.response_id.clone());
    list.add(semconv::GEN_AI_CONVERSATION_ID, event.session.clone());
    if let Some(reason) = &event.finish_reason {
        let reasons = Array::String(vec![StringValue::from(reason.clone())]);
        list.add(semconv::GEN_AI_RESPONSE_FINISH_REASONS, Some(Value::Array(reasons)));
    }
    if has_reported_usage(event) {
        let [read, written] = [event.cached_prompt_tokens, event.cache_write_tokens].map(whole);
        list.add(semconv::GEN_AI_USAGE_INPUT_TOKENS, whole(event.prompt_tokens));
        list.add(semconv::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, read);
        list.add(semconv::GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS, written);
        list.add(semconv::GEN_AI_USAGE_OUTPUT_TOKENS, whole(event.completion_tokens));
        list.add(semconv::GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, whole(event.reasoning_tokens));
    }
    list.0
}

/// Whether the counts are those of the upstream: the conventions have no place for
/// estimates.
pub(super) fn has_reported_usage(event: &UsageEvent) -> bool {
    matches!(event.known_usage_source(), UsageSource::Upstream | UsageSource::UpstreamPartial)
}

/// What spans and metrics of a call have in common.
pub(super) fn common(event: &UsageEvent, server: &Server) -> Vec<KeyValue> {
    let mut list = List::default();
    if let Some(operation) = operation(event) {
        list.add(semconv::GEN_AI_OPERATION_NAME, Some(operation));
        let provider = semconv::provider(&server.host, &event.dialect);
        list.add(semconv::GEN_AI_PROVIDER_NAME, Some(provider));
        list.add(semconv::GEN_AI_REQUEST_MODEL, event.model_requested.clone());
        list.add(semconv::GEN_AI_RESPONSE_MODEL, event.model.clone());
    }
    list.add(semconv::ERROR_TYPE, error_type(event));
    if !server.host.is_empty() {
        list.add(semconv::SERVER_ADDRESS, Some(server.host.clone()));
        list.add(semconv::SERVER_PORT, Some(i64::from(server.port)));
    }
    list.0
}

/// `chat gpt-5`; without a model the operation alone; the method of a request that is
/// none of an LLM.
pub(super) fn call_name(event: &UsageEvent) -> String {
    match (operation(event), &event.model_requested) {
        (Some(operation), Some(model)) => format!("{operation} {model}"),
        (Some(operation), None) => operation.to_owned(),
        (None, _) => event.method.clone(),
    }
}

/// The convention's name where it has one, else modash's; `None`: no operation of an LLM.
pub(super) fn operation(event: &UsageEvent) -> Option<&'static str> {
    Some(match event.known_operation() {
        Operation::Chat if event.dialect.starts_with("gemini") => "generate_content",
        Operation::Chat => "chat",
        Operation::Completion => "text_completion",
        Operation::Embedding => "embeddings",
        Operation::Rerank => "rerank",
        Operation::Moderation => "moderation",
        Operation::Transcription => "transcription",
        Operation::Speech => "speech",
        Operation::Image => "image",
        Operation::Realtime => "realtime",
        Operation::CountTokens => "count_tokens",
        Operation::Retrieval | Operation::Other | Operation::Unspecified => return None,
    })
}

/// Why it failed: what the upstream named, the status, or the outcome.
pub(super) fn error_type(event: &UsageEvent) -> Option<String> {
    match event.known_outcome() {
        Outcome::Ok | Outcome::Unspecified => None,
        Outcome::HttpError => Some(event.error_type.clone().unwrap_or_else(|| {
            event.status.map_or("http_error".to_owned(), |status| status.to_string())
        })),
        _ => Some(event.error_type.clone().unwrap_or_else(|| outcome(event))),
    }
}

fn outcome(event: &UsageEvent) -> String {
    event.known_outcome().as_str_name().trim_start_matches("OUTCOME_").to_lowercase()
}

fn whole(count: Option<u64>) -> Option<i64> {
    count.and_then(|count| i64::try_from(count).ok())
}

#[derive(Default)]
struct List(Vec<KeyValue>);

impl List {
    fn add(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.push(KeyValue::new(name, value));
        }
    }
}
