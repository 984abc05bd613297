//! The span of a request and that of its call to the upstream.

use std::time::{Duration, SystemTime};

use modash_proto::{
    micros_from_duration, micros_from_timestamp,
    v1::{Outcome, UsageEvent},
};
use modash_telemetry::opentelemetry::{
    InstrumentationScope, SpanId, TraceFlags, TraceId,
    trace::{Event, SpanContext, SpanKind, Status, TraceState},
};
use modash_telemetry::opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{Server, attributes, scope};
use crate::trace_context::call_span;

/// Makes the spans of an event.
#[derive(Debug)]
pub(super) struct SpanMaker {
    scope: InstrumentationScope,
}

impl SpanMaker {
    pub(super) fn new() -> Self {
        Self { scope: scope() }
    }

    /// The span of a request and that of its upstream call; none if it is not sampled.
    pub(super) fn make(&self, event: &UsageEvent, server: &Server) -> Vec<SpanData> {
        let Some(trace) = Trace::of(event) else { return Vec::new() };
        let mut spans = vec![self.span(
            trace.context(trace.span),
            trace.parent,
            SpanKind::Server,
            // Without a route a name has the method only; the path is an attribute.
            event.method.clone(),
            (trace.begin(), trace.after(event.duration.as_ref())),
        )];
        spans[0].parent_span_is_remote = trace.parent != SpanId::INVALID;
        spans[0].attributes = attributes::of_request(event);
        spans[0].status = server_status(event);
        if was_called(event) {
            let sent = event.upstream_sent.as_ref();
            let mut call = self.span(
                trace.context(call_span(trace.span)),
                SpanId::from(trace.span),
                SpanKind::Client,
                attributes::call_name(event),
                (trace.after(sent), trace.after(event.duration.as_ref())),
            );
            call.attributes = attributes::of_call(event, server);
            call.events = trace.events(event);
            call.status = client_status(event);
            spans.push(call);
        }
        spans
    }

    fn span(
        &self,
        span_context: SpanContext,
        parent_span_id: SpanId,
        span_kind: SpanKind,
        name: String,
        (start_time, end_time): (SystemTime, SystemTime),
    ) -> SpanData {
        SpanData {
            span_context,
            parent_span_id,
            parent_span_is_remote: false,
            span_kind,
            name: name.into(),
            start_time,
            end_time,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// Whether the upstream was called, with or without success.
fn was_called(event: &UsageEvent) -> bool {
    event.upstream_sent.is_some()
        || event.connect.is_some()
        || matches!(
            event.known_outcome(),
            Outcome::UpstreamUnreachable | Outcome::UpstreamTimeout | Outcome::Interrupted
        )
}

/// The trace of a sampled event, and its begin.
struct Trace {
    trace_id: TraceId,
    span: u64,
    parent: SpanId,
    /// In microseconds since 1970.
    started_at: u64,
}

impl Trace {
    fn of(event: &UsageEvent) -> Option<Self> {
        let started_at = micros_from_timestamp(event.started_at.as_ref()?)?;
        Some(Self {
            trace_id: TraceId::from_hex(event.trace_id.as_deref()?).ok()?,
            span: event.span_id?,
            parent: event.parent_span_id.map_or(SpanId::INVALID, SpanId::from),
            started_at: u64::try_from(started_at).ok()?,
        })
    }

    fn context(&self, span: u64) -> SpanContext {
        let flags = TraceFlags::SAMPLED;
        SpanContext::new(self.trace_id, SpanId::from(span), flags, false, TraceState::NONE)
    }

    fn begin(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.started_at)
    }

    /// The begin, if nothing is known.
    fn after(&self, duration: Option<&prost_types::Duration>) -> SystemTime {
        let micros = duration.and_then(micros_from_duration).and_then(|m| u64::try_from(m).ok());
        self.begin() + Duration::from_micros(micros.unwrap_or(0))
    }

    /// The conventions have no event for tokens, so these names are modash's own.
    fn events(&self, event: &UsageEvent) -> SpanEvents {
        let mut events = SpanEvents::default();
        for (name, at) in
            [("modash.first_token", &event.first_token), ("modash.last_token", &event.last_token)]
        {
            if at.is_some() {
                events.events.push(Event::new(name, self.after(at.as_ref()), Vec::new(), 0));
            }
        }
        events
    }
}

/// A server's span fails only by its own fault: 500 and more.
fn server_status(event: &UsageEvent) -> Status {
    let failed = event.status.is_some_and(|status| status >= 500)
        || matches!(event.outcome(), Outcome::Truncated | Outcome::StreamError);
    if failed {
        Status::error(attributes::error_type(event).unwrap_or_default())
    } else {
        Status::Unset
    }
}

/// A call fails by any error of the server; a client that left is none.
fn client_status(event: &UsageEvent) -> Status {
    match event.outcome() {
        Outcome::Ok | Outcome::ClientClosed | Outcome::Unspecified => Status::Unset,
        _ => Status::error(attributes::error_type(event).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use modash_proto::{
        duration_from_micros, timestamp_from_micros,
        v1::{Operation, UsageSource},
    };
    use modash_telemetry::opentelemetry::{KeyValue, Value};

    use super::*;

    fn event() -> UsageEvent {
        UsageEvent {
            event_id: "01939e3c-7b1a-7cc0-8000-000000000001".to_owned(),
            started_at: Some(timestamp_from_micros(1_764_000_000_000_000)),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
            span_id: Some(7),
            parent_span_id: Some(0x00f0_67aa_0ba9_02b7),
            upstream: "default".to_owned(),
            dialect: "openai-chat".to_owned(),
            operation: Operation::Chat.into(),
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            model_requested: Some("m".to_owned()),
            model: Some("m-2026".to_owned()),
            user: Some("somebody".to_owned()),
            session: Some("s-1".to_owned()),
            status: Some(200),
            outcome: Outcome::Ok.into(),
            finish_reason: Some("stop".to_owned()),
            response_id: Some("c-1".to_owned()),
            prompt_tokens: Some(20),
            cached_prompt_tokens: Some(8),
            completion_tokens: Some(5),
            usage_source: UsageSource::Upstream.into(),
            stream: true,
            reasoning_tokens: Some(2),
            upstream_sent: Some(duration_from_micros(40)),
            first_token: Some(duration_from_micros(30_000)),
            last_token: Some(duration_from_micros(400_000)),
            duration: Some(duration_from_micros(500_000)),
            ..UsageEvent::default()
        }
    }

    fn spans(event: &UsageEvent) -> Vec<SpanData> {
        let server = Server { host: "api.openai.com".to_owned(), port: 443 };
        SpanMaker::new().make(event, &server)
    }

    fn value<'s>(span: &'s SpanData, name: &str) -> Option<&'s Value> {
        let found = span.attributes.iter().find(|KeyValue { key, .. }| key.as_str() == name);
        found.map(|found| &found.value)
    }

    #[test]
    fn a_request_and_its_call_are_parent_and_child_with_the_times_of_the_event() {
        let spans = spans(&event());
        let [request, call] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(request.parent_span_id, SpanId::from(0x00f0_67aa_0ba9_02b7));
        assert!(request.parent_span_is_remote && !call.parent_span_is_remote);
        assert_eq!(call.parent_span_id, request.span_context.span_id());
        assert_eq!(call.span_context.trace_id(), request.span_context.trace_id());
        assert_eq!((&*request.name, &*call.name), ("POST", "chat m"));
        assert_eq!((&request.span_kind, &call.span_kind), (&SpanKind::Server, &SpanKind::Client));
        let micros =
            |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap().as_micros();
        assert_eq!(micros(request.start_time, request.end_time), 500_000);
        assert_eq!(micros(request.start_time, call.start_time), 40);
        let events: Vec<_> = call
            .events
            .iter()
            .map(|e| (&*e.name, micros(request.start_time, e.timestamp)))
            .collect();
        assert_eq!(events, [("modash.first_token", 30_000), ("modash.last_token", 400_000)]);
        assert_eq!((&request.status, &call.status), (&Status::Unset, &Status::Unset));
    }

    #[test]
    fn a_call_has_what_the_conventions_want_and_nobodys_words() {
        let spans = spans(&event());
        let call = &spans[1];
        for (name, expected) in [
            ("gen_ai.operation.name", Value::from("chat")),
            ("gen_ai.provider.name", Value::from("openai")),
            ("gen_ai.request.model", Value::from("m")),
            ("gen_ai.response.model", Value::from("m-2026")),
            ("gen_ai.response.id", Value::from("c-1")),
            ("gen_ai.conversation.id", Value::from("s-1")),
            ("gen_ai.usage.input_tokens", Value::from(20)),
            ("gen_ai.usage.cache_read.input_tokens", Value::from(8)),
            ("gen_ai.usage.output_tokens", Value::from(5)),
            ("gen_ai.usage.reasoning.output_tokens", Value::from(2)),
            ("server.address", Value::from("api.openai.com")),
            ("server.port", Value::from(443)),
            ("http.response.status_code", Value::from(200)),
        ] {
            assert_eq!(value(call, name), Some(&expected), "{name}");
        }
        assert_eq!(value(call, "error.type"), None);
        assert!(!format!("{spans:?}").contains("somebody"), "an end user is nobody's business");
    }

    #[test]
    fn no_name_is_made_up() {
        let failed = UsageEvent {
            outcome: Outcome::UpstreamTimeout.into(),
            error_type: Some("upstream_timeout".to_owned()),
            cache_write_tokens: Some(1),
            user_agent_family: Some("curl".to_owned()),
            ..event()
        };
        for span in spans(&failed) {
            for KeyValue { key, .. } in &span.attributes {
                let known = modash_telemetry::semconv::ATTRIBUTES.contains(&key.as_str());
                assert!(known || key.as_str().starts_with("modash."), "{key}");
            }
        }
    }

    #[test]
    fn an_error_is_the_calls_and_a_client_that_leaves_is_none() {
        let failed = |outcome: Outcome, status| {
            let event = UsageEvent { outcome: outcome.into(), status, ..event() };
            let spans = spans(&event);
            (spans[0].status != Status::Unset, spans[1].status != Status::Unset)
        };
        assert_eq!(failed(Outcome::HttpError, Some(429)), (false, true));
        assert_eq!(failed(Outcome::HttpError, Some(503)), (true, true));
        assert_eq!(failed(Outcome::UpstreamTimeout, Some(504)), (true, true));
        assert_eq!(failed(Outcome::Truncated, Some(200)), (true, true));
        assert_eq!(failed(Outcome::ClientClosed, Some(200)), (false, false));
        let refused =
            UsageEvent { outcome: Outcome::HttpError.into(), status: Some(429), ..event() };
        assert_eq!(value(&spans(&refused)[1], "error.type"), Some(&Value::from("429")));
    }

    #[test]
    fn an_event_that_is_not_sampled_has_no_span() {
        assert!(spans(&UsageEvent { span_id: None, ..event() }).is_empty());
        let left =
            UsageEvent { upstream_sent: None, outcome: Outcome::ClientClosed.into(), ..event() };
        assert_eq!(spans(&left).len(), 1);
        let outcome = Outcome::UpstreamUnreachable.into();
        assert_eq!(spans(&UsageEvent { outcome, ..left }).len(), 2);
    }
}
