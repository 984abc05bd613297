//! The place of a request in a trace: named by the client in its head, or begun here if
//! traces are exported and the request is sampled.

use modash_telemetry::{ContextHeaders, Sampler, Telemetry, TraceContext};

use crate::settings::TraceContextMode;

/// The place of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestTrace {
    /// Not 0.
    pub(crate) trace_id: u128,
    /// The client's span; never 0.
    pub(crate) parent: Option<u64>,
    /// The proxy's span for the request, never 0; `None`: not exported.
    pub(crate) span: Option<u64>,
}

impl From<TraceContext> for RequestTrace {
    fn from(client: TraceContext) -> Self {
        Self { trace_id: client.trace_id, parent: Some(client.span_id), span: None }
    }
}

/// The hexadecimal digits of a trace's id.
pub(crate) fn trace_id_text(trace_id: u128) -> [u8; 32] {
    std::array::from_fn(|at| b"0123456789abcdef"[(trace_id >> (124 - 4 * at)) as usize & 15])
}

/// The id of the span for the upstream call of a request's span: made of it, so that the
/// event has to carry one id only.
pub(crate) fn call_span(span: u64) -> u64 {
    (span ^ 0x5555_5555_5555_5555).max(1)
}

/// How requests get their place where traces are exported.
#[derive(Debug)]
pub(crate) struct Tracing {
    headers: ContextHeaders,
    sampler: Sampler,
    mode: TraceContextMode,
}

impl Tracing {
    /// `None`: no traces are exported.
    pub(crate) fn new(telemetry: &Telemetry, mode: TraceContextMode) -> Option<Self> {
        telemetry.spans()?;
        Some(Self { headers: telemetry.context_headers(), sampler: telemetry.sampler(), mode })
    }

    /// The place of a request, whose `traceparent` was read already.
    pub(crate) fn begin<'a>(
        &self,
        traceparent: Option<TraceContext>,
        lines: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<RequestTrace> {
        let client = match traceparent.filter(|_| self.headers.has_w3c()) {
            None if self.headers.has_b3() => self.headers.extract(lines),
            client => client,
        };
        let trace_id = client.map_or_else(|| rand::random::<u128>().max(1), |span| span.trace_id);
        let sampled = self.sampler.samples(trace_id, client.and_then(|client| client.sampled));
        if client.is_none() && !sampled {
            return None;
        }
        let span = sampled.then(|| rand::random::<u64>().max(1));
        Some(RequestTrace { trace_id, parent: client.map(|client| client.span_id), span })
    }

    /// The lines that the upstream gets instead of those with the same names; `None`: the
    /// client's lines pass.
    pub(crate) fn instead(&self, trace: Option<&RequestTrace>) -> Option<Instead> {
        if self.mode == TraceContextMode::Pass {
            return None;
        }
        let trace = trace?;
        let (trace_id, span_id) = (trace.trace_id, call_span(trace.span?));
        let call = TraceContext { trace_id, span_id, sampled: Some(true) };
        Some(Instead { names: self.headers, added: self.headers.inject(&call) })
    }
}

/// Header lines that take the place of the client's.
pub(crate) struct Instead {
    names: ContextHeaders,
    /// Names and values.
    pub(crate) added: Vec<(&'static str, String)>,
}

impl Instead {
    /// Names of the lines to leave out.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.names()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracing(sampler: &str, headers: &str, mode: TraceContextMode) -> Tracing {
        Tracing {
            headers: ContextHeaders::from_list(Some(headers)).0,
            sampler: Sampler::from_texts(Some(sampler), None).0,
            mode,
        }
    }

    fn client(sampled: bool) -> TraceContext {
        TraceContext { trace_id: 0x4bf9_2f35, span_id: 0x00f0_67aa, sampled: Some(sampled) }
    }

    fn nothing() -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
        std::iter::empty()
    }

    #[test]
    fn a_clients_trace_is_continued_and_its_decision_followed() {
        let tracing = tracing("parentbased_always_on", "tracecontext", TraceContextMode::Child);
        let sampled = tracing.begin(Some(client(true)), nothing()).unwrap();
        assert_eq!((sampled.trace_id, sampled.parent), (0x4bf9_2f35, Some(0x00f0_67aa)));
        assert!(sampled.span.is_some());
        let unsampled = tracing.begin(Some(client(false)), nothing()).unwrap();
        assert_eq!(unsampled, RequestTrace::from(client(false)));
        assert!(tracing.instead(Some(&unsampled)).is_none());
    }

    #[test]
    fn a_request_without_context_begins_a_trace_only_if_it_is_sampled() {
        let on = tracing("always_on", "tracecontext", TraceContextMode::Pass);
        let begun = on.begin(None, nothing()).unwrap();
        assert!(begun.parent.is_none() && begun.span.is_some());
        assert!(on.instead(Some(&begun)).is_none());
        let off = tracing("always_off", "tracecontext", TraceContextMode::Pass);
        assert_eq!(off.begin(None, nothing()), None);
    }

    #[test]
    fn b3_is_read_where_it_is_chosen() {
        let value = b"4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1";
        let lines = || std::iter::once((&b"B3"[..], &value[..]));
        let b3 = tracing("parentbased_always_off", "b3", TraceContextMode::Pass);
        let found = b3.begin(Some(client(false)), lines()).unwrap();
        assert!(found.span.is_some() && found.trace_id != client(false).trace_id);
        let w3c = tracing("parentbased_always_off", "tracecontext", TraceContextMode::Pass);
        assert_eq!(w3c.begin(None, lines()), None);
    }

    #[test]
    fn in_child_mode_the_upstream_gets_the_span_of_the_call_as_its_parent() {
        let tracing = tracing("always_on", "tracecontext", TraceContextMode::Child);
        let trace = tracing.begin(Some(client(true)), nothing()).unwrap();
        let instead = tracing.instead(Some(&trace)).unwrap();
        assert_eq!(instead.names().collect::<Vec<_>>(), ["traceparent"]);
        let lines = instead.added.iter().map(|(name, text)| (name.as_bytes(), text.as_bytes()));
        let sent = tracing.headers.extract(lines).unwrap();
        assert_eq!(sent.trace_id, trace.trace_id);
        assert_eq!(Some(sent.span_id), trace.span.map(call_span));
        assert_eq!(sent.sampled, Some(true));
    }

    #[test]
    fn the_digits_of_a_trace_are_those_of_its_number() {
        let id = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
        assert_eq!(trace_id_text(id), *b"4bf92f3577b34da6a3ce929d0e0e4736");
    }
}
