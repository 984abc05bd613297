//! Spans and durations of requests and of the questions that they cause. Where nothing is exported
//! there are none, and the caller's context goes on as it came.

use std::time::Instant;

use axum::extract::Request;
use http::{HeaderMap, Method, StatusCode};
use modash_telemetry::{Work, continue_trace, inject, opentelemetry::KeyValue, semconv, traces};
use tonic::Code;
use tracing::{Span, field::Empty, info_span};

use crate::contract::SERVICE;

/// A request that is being answered, with its span.
pub(crate) struct RequestTrace {
    span: Span,
    method: &'static str,
    route: &'static str,
    scheme: &'static str,
    begun: Instant,
}

impl RequestTrace {
    /// Begins its span, in the trace that its headers name.
    pub(crate) fn begin(request: &Request, scheme: &'static str) -> Self {
        let path = request.uri().path();
        let (method, route) = (known_method(request.method()), route(path));
        let begun = Instant::now();
        if !traces() {
            return Self { span: Span::none(), method, route, scheme, begun };
        }
        let span = info_span!(
            "request",
            otel.name = format!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = Empty,
            { semconv::HTTP_REQUEST_METHOD } = method,
            { semconv::HTTP_ROUTE } = route,
            { semconv::URL_PATH } = path,
            { semconv::URL_SCHEME } = scheme,
            { semconv::HTTP_RESPONSE_STATUS_CODE } = Empty,
            { semconv::ERROR_TYPE } = Empty,
        );
        continue_trace(&span, request.headers());
        Self { span, method, route, scheme, begun }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes how it was answered.
    pub(crate) fn answered(self, status: StatusCode) {
        let Self { span, method, route, scheme, begun } = self;
        let code = i64::from(status.as_u16());
        span.record(semconv::HTTP_RESPONSE_STATUS_CODE, code);
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
            span.record(semconv::ERROR_TYPE, status.as_str());
        }
        Work::HttpRequest.took(begun.elapsed(), || {
            let mut attributes = vec![
                KeyValue::new(semconv::HTTP_REQUEST_METHOD, method),
                KeyValue::new(semconv::HTTP_ROUTE, route),
                KeyValue::new(semconv::URL_SCHEME, scheme),
                KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, code),
            ];
            if status.is_server_error() {
                attributes.push(KeyValue::new(semconv::ERROR_TYPE, status.as_str().to_owned()));
            }
            attributes
        });
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

/// A question to analytics that waits for its answer, with its span.
pub(crate) struct Question {
    span: Span,
    /// `service/method`.
    method: String,
    begun: Instant,
    told: bool,
}

impl Question {
    /// Begins its span; the headers get its context.
    pub(crate) fn begin(method: String, headers: &mut HeaderMap) -> Self {
        let begun = Instant::now();
        if !traces() {
            return Self { span: Span::none(), method, begun, told: false };
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
        Self { span, method, begun, told: false }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes how it was answered.
    pub(crate) fn answered(mut self, code: Code) {
        let name = semconv::grpc_status(code as i32);
        self.span.record(semconv::RPC_RESPONSE_STATUS_CODE, name);
        if code != Code::Ok {
            self.span.record("otel.status_code", "ERROR");
            self.span.record(semconv::ERROR_TYPE, name);
        }
        self.took(Some(code));
    }

    fn took(&mut self, code: Option<Code>) {
        self.told = true;
        Work::Question.took(self.begun.elapsed(), || {
            let method = std::mem::take(&mut self.method);
            let mut attributes = vec![
                KeyValue::new(semconv::RPC_SYSTEM_NAME, "grpc"),
                KeyValue::new(semconv::RPC_METHOD, method),
            ];
            if let Some(name) = code.map(|code| semconv::grpc_status(code as i32)) {
                attributes.push(KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, name));
                if code != Some(Code::Ok) {
                    attributes.push(KeyValue::new(semconv::ERROR_TYPE, name));
                }
            }
            attributes
        });
    }
}

/// Of an answer that is passed on undecoded the code is not known.
impl Drop for Question {
    fn drop(&mut self) {
        if !self.told {
            self.took(None);
        }
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
