//! Spans and durations of calls, spans of commits. Where nothing is exported there are
//! none.

use std::time::Duration;

use modash_telemetry::{
    TraceContext, Work, continue_from, continue_trace, link, opentelemetry::KeyValue, semconv,
    traces,
};
use tonic::{Code, codegen::http::HeaderMap};
use tracing::{Span, field::Empty, info_span};

/// The name of a method in the conventions.
fn full_name(method: &str) -> String {
    format!("modash.v1.AnalyticsService/{method}")
}

/// The span of a call, in the trace that its headers name.
pub(crate) fn call(method: &str, headers: &HeaderMap) -> Span {
    if !traces() {
        return Span::none();
    }
    let name = full_name(method);
    let span = info_span!(
        "call",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        { semconv::RPC_SYSTEM_NAME } = "grpc",
        { semconv::RPC_METHOD } = name,
        { semconv::RPC_RESPONSE_STATUS_CODE } = Empty,
        { semconv::ERROR_TYPE } = Empty,
    );
    continue_trace(&span, headers);
    span
}

/// Notes how a call was answered, in its span.
pub(crate) fn answered(span: &Span, code: Code) {
    if span.is_disabled() {
        return;
    }
    let name = semconv::grpc_status(code as i32);
    span.record(semconv::RPC_RESPONSE_STATUS_CODE, name);
    if is_ours(code) {
        span.record("otel.status_code", "ERROR");
        span.record(semconv::ERROR_TYPE, name);
    }
}

/// Notes how long a call took.
pub(crate) fn took(method: &str, code: Code, duration: Duration) {
    Work::Call.took(duration, || {
        let name = semconv::grpc_status(code as i32);
        let mut attributes = vec![
            KeyValue::new(semconv::RPC_SYSTEM_NAME, "grpc"),
            KeyValue::new(semconv::RPC_METHOD, full_name(method)),
            KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, name),
        ];
        if is_ours(code) {
            attributes.push(KeyValue::new(semconv::ERROR_TYPE, name));
        }
        attributes
    });
}

/// Of the other codes the caller is the cause (semantic conventions of gRPC, status of a
/// server span).
fn is_ours(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// The span of a commit: within the first delivery whose events it has, linked to
/// the others. None if no delivery is traced.
pub(crate) fn commit(mut deliveries: impl Iterator<Item = TraceContext>, events: usize) -> Span {
    let Some(first) = deliveries.next().filter(|_| traces()) else { return Span::none() };
    let span = info_span!(
        "commit",
        otel.name = "commit events",
        otel.kind = "consumer",
        { semconv::MESSAGING_BATCH_MESSAGE_COUNT } = i64::try_from(events).unwrap_or(i64::MAX),
    );
    continue_from(&span, &first);
    for other in deliveries {
        link(&span, &other);
    }
    span
}
