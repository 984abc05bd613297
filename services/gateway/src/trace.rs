//! Spans of requests and of the questions that they cause. Where nothing is exported
//! there are none, and the caller's context goes on as it came.

use axum::extract::Request;
use http::{HeaderMap, Method, StatusCode};
use modash_telemetry::{continue_trace, inject, semconv, traces};
use tonic::Code;
use tracing::{Span, field::Empty, info_span};

use crate::contract::SERVICE;

/// The span of a request, in the trace that its headers name.
pub(crate) fn request(request: &Request) -> Span {
    if !traces() {
        return Span::none();
    }
    let (path, method) = (request.uri().path(), known_method(request.method()));
    let route = route(path);
    let span = info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        { semconv::HTTP_REQUEST_METHOD } = method,
        { semconv::HTTP_ROUTE } = route,
        { semconv::URL_PATH } = path,
        { semconv::URL_SCHEME } = "http",
        { semconv::HTTP_RESPONSE_STATUS_CODE } = Empty,
        { semconv::ERROR_TYPE } = Empty,
    );
    continue_trace(&span, request.headers());
    span
}

/// Notes how a request was answered.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    if span.is_disabled() {
        return;
    }
    span.record(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
        span.record(semconv::ERROR_TYPE, status.as_str());
    }
}

/// The span of one call among several of a request, if headers of its own name a trace
/// other than that of the request.
pub(crate) fn of_its_own(headers: &HeaderMap) -> Span {
    if !traces() {
        return Span::none();
    }
    let span = info_span!("call", otel.kind = "server");
    continue_trace(&span, headers);
    span
}

/// The span of a question to analytics, `service/method`; the headers get its context.
pub(crate) fn question(method: &str, headers: &mut HeaderMap) -> Span {
    if !traces() {
        return Span::none();
    }
    let span = info_span!(
        "question",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        { semconv::RPC_SYSTEM_NAME } = "grpc",
        { semconv::RPC_METHOD } = method,
        { semconv::RPC_RESPONSE_STATUS_CODE } = Empty,
        { semconv::ERROR_TYPE } = Empty,
    );
    inject(&span, headers);
    span
}

/// Notes how a question was answered.
pub(crate) fn told(span: &Span, code: Code) {
    if span.is_disabled() {
        return;
    }
    let name = semconv::grpc_status(code as i32);
    span.record(semconv::RPC_RESPONSE_STATUS_CODE, name);
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
        span.record(semconv::ERROR_TYPE, name);
    }
}

/// The path with what varies left out.
fn route(path: &str) -> &'static str {
    const SERVICE_METHOD: &str = "/modash.v1.AnalyticsService/{method}";
    match path {
        "/events" => "/events",
        "/rpc" | "/rpc/" => "/rpc",
        _ if path.starts_with("/rpc/") => "/rpc/{method}",
        _ if path.trim_start_matches('/').starts_with(SERVICE) => SERVICE_METHOD,
        _ => "/{service}/{method}",
    }
}

/// The semantic conventions want a bounded number of methods.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
