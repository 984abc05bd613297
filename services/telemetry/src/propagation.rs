//! Spans of `tracing`: the layer that exports them, and the headers by which one
//! process continues the trace of another.

use std::{str::FromStr as _, sync::OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt as _, TraceState, TracerProvider as _},
};
use tracing::{Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use crate::{ContextHeaders, Telemetry, TraceContext};

const TRACESTATE: &str = "tracestate";

/// Set once traces are on.
static CONTEXT_HEADERS: OnceLock<ContextHeaders> = OnceLock::new();

pub(crate) fn begin(headers: ContextHeaders) {
    let _ = CONTEXT_HEADERS.set(headers);
}

/// Whether this process exports traces. Where it does not, spans need not be made.
#[must_use]
pub fn traces() -> bool {
    CONTEXT_HEADERS.get().is_some()
}

/// Exports the spans of modash's own crates, of level INFO and above, with the events
/// within them; `None`: traces are off.
pub fn span_layer<S>(telemetry: &Telemetry) -> Option<impl Layer<S> + Send + Sync + use<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let tracer = telemetry.tracers()?.tracer("modash");
    let layer = tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_tracer(tracer);
    Some(layer.with_filter(Targets::new().with_target("modash", LevelFilter::INFO)))
}

/// Makes a span that was not entered yet a child of the span that headers name.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    let lines = headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    if let Some(known) = CONTEXT_HEADERS.get()
        && let Some(parent) = known.extract(lines)
    {
        let state = headers.get(TRACESTATE).and_then(|value| value.to_str().ok());
        let state = state.and_then(|text| TraceState::from_str(text).ok()).unwrap_or_default();
        set_parent(span, parent.remote(state));
    }
}

/// Makes a span that was not entered yet a child of another.
pub fn continue_from(span: &Span, parent: &TraceContext) {
    if traces() {
        set_parent(span, parent.remote(TraceState::default()));
    }
}

fn set_parent(span: &Span, parent: SpanContext) {
    // It fails only where the span is not recorded.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// Adds the headers that name a span as the parent.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    let Some(known) = CONTEXT_HEADERS.get() else { return };
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return;
    }
    for (name, value) in known.inject(&span.into()) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let state = span.trace_state().header();
    if let Ok(value) = HeaderValue::from_str(&state)
        && !state.is_empty()
    {
        headers.insert(HeaderName::from_static(TRACESTATE), value);
    }
}

/// Links a span to one of another trace.
pub fn link(span: &Span, to: &TraceContext) {
    if traces() {
        span.add_link(to.remote(TraceState::default()));
    }
}

/// Ids of the trace and of the span that this thread is in, in hexadecimal digits.
#[must_use]
pub fn current_ids() -> Option<(String, String)> {
    if !traces() {
        return None;
    }
    Context::map_current(|context| {
        let span = context.span();
        let span: &SpanContext = span.span_context();
        span.is_valid().then(|| (span.trace_id().to_string(), span.span_id().to_string()))
    })
}
