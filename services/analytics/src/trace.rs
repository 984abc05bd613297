//! Spans of calls and commits. Where nothing is exported there are none.

use modash_telemetry::{TraceContext, continue_from, continue_trace, link, semconv, traces};
use tonic::{Code, codegen::http::HeaderMap};
use tracing::{Span, field::Empty, info_span};

/// The span of a call, in the trace that its headers name.
pub(crate) fn call(method: &str, headers: &HeaderMap) -> Span {
    if !traces() {
        return Span::none();
    }
    let name = format!("modash.v1.AnalyticsService/{method}");
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

/// Notes how a call ended.
pub(crate) fn answered(span: &Span, code: Code) {
    if span.is_disabled() {
        return;
    }
    let name = semconv::grpc_status(code as i32);
    span.record(semconv::RPC_RESPONSE_STATUS_CODE, name);
    // Of the others the caller is the cause (semantic conventions of gRPC, status of a
    // server span).
    let ours = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if ours {
        span.record("otel.status_code", "ERROR");
        span.record(semconv::ERROR_TYPE, name);
    }
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
