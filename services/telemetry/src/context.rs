//! Trace context in headers: W3C (<https://www.w3.org/TR/trace-context/>) and B3
//! (<https://github.com/openzipkin/b3-propagation>).

use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};

/// A span that a header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Not 0.
    pub trace_id: u128,
    /// Not 0.
    pub span_id: u64,
    /// Whether the sender records its spans; `None`: it leaves the decision to others.
    pub sampled: Option<bool>,
}

/// Name and value of a header line.
type Line<'a> = (&'a [u8], &'a [u8]);

impl TraceContext {
    /// Reads `00-<trace id>-<span id>-<flags>`. Later versions may have more behind it.
    #[must_use]
    pub fn from_traceparent(value: &[u8]) -> Option<Self> {
        let (text, rest) = value.trim_ascii().split_first_chunk::<55>()?;
        let version = number(&text[..2])?;
        let fits = [2, 35, 52].iter().all(|at| text[*at] == b'-')
            && version != 0xff
            && (rest.is_empty() || (version > 0 && rest[0] == b'-'));
        let trace_id = number(&text[3..35])?;
        let span_id = number(&text[36..52])? as u64;
        let sampled = Some(number(&text[53..])? & 1 == 1);
        (fits && trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled })
    }

    /// The value of `traceparent` that names this span.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.sampled == Some(true));
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }

    /// `<trace id>-<span id>[-<sampled>[-<parent>]]`; a lone decision names no span.
    fn from_b3(value: &[u8]) -> Option<Self> {
        let mut parts = value.trim_ascii().split(|byte| *byte == b'-');
        let (trace, span) = (parts.next()?, parts.next()?);
        Self::from_parts(trace, span, parts.next())
    }

    fn from_parts(trace: &[u8], span: &[u8], sampled: Option<&[u8]>) -> Option<Self> {
        if !matches!(trace.len(), 16 | 32) || span.len() != 16 {
            return None;
        }
        let (trace_id, span_id) = (b3_number(trace)?, b3_number(span)? as u64);
        let sampled = match sampled {
            Some(b"1" | b"d" | b"true") => Some(true),
            Some(b"0" | b"false") => Some(false),
            _ => None,
        };
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled })
    }

    /// In the types of OpenTelemetry, of another process.
    #[must_use]
    pub fn remote(&self, state: TraceState) -> SpanContext {
        self.context(true, state)
    }

    /// In the types of OpenTelemetry, of this process.
    #[must_use]
    pub fn local(&self) -> SpanContext {
        self.context(false, TraceState::NONE)
    }

    fn context(&self, remote: bool, state: TraceState) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.sampled == Some(true));
        SpanContext::new(self.trace_id.into(), self.span_id.into(), flags, remote, state)
    }
}

impl From<&SpanContext> for TraceContext {
    fn from(span: &SpanContext) -> Self {
        Self {
            trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(span.span_id().to_bytes()),
            sampled: Some(span.is_sampled()),
        }
    }
}

/// The forms of `OTEL_PROPAGATORS` that are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextHeaders {
    w3c: bool,
    b3: bool,
    b3_multi: bool,
}

const TRACEPARENT: &str = "traceparent";
const B3: &str = "b3";
const B3_TRACE_ID: &str = "x-b3-traceid";
const B3_SPAN_ID: &str = "x-b3-spanid";
const B3_SAMPLED: &str = "x-b3-sampled";
const B3_FLAGS: &str = "x-b3-flags";
const B3_PARENT: &str = "x-b3-parentspanid";

impl ContextHeaders {
    /// From a list such as `tracecontext,baggage,b3`, and the names that are not known;
    /// without a list, W3C. Baggage is never read: it passes with the other headers.
    #[must_use]
    pub fn from_list(list: Option<&str>) -> (Self, Vec<&str>) {
        let mut found = Self { w3c: list.is_none(), b3: false, b3_multi: false };
        let mut unknown = Vec::new();
        for name in list.unwrap_or_default().split(',').map(str::trim) {
            match name {
                "tracecontext" => found.w3c = true,
                "b3" => found.b3 = true,
                "b3multi" => found.b3_multi = true,
                "baggage" | "none" | "" => {}
                other => unknown.push(other),
            }
        }
        (found, unknown)
    }

    /// Whether a form other than W3C's is read.
    #[must_use]
    pub fn has_b3(&self) -> bool {
        self.b3 || self.b3_multi
    }

    /// Whether W3C's form is read.
    #[must_use]
    pub fn has_w3c(&self) -> bool {
        self.w3c
    }

    /// The span that header lines name; W3C's form wins.
    pub fn extract<'a>(&self, lines: impl Iterator<Item = Line<'a>>) -> Option<TraceContext> {
        const NAMES: [&str; 6] = [TRACEPARENT, B3, B3_TRACE_ID, B3_SPAN_ID, B3_SAMPLED, B3_FLAGS];
        let mut found = [None; NAMES.len()];
        for (name, value) in lines {
            let named = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
            if let Some(at) = NAMES.iter().position(named) {
                found[at].get_or_insert(value);
            }
        }
        let [traceparent, b3, trace, span, sampled, flags] = found;
        let of_w3c = || self.w3c.then(|| TraceContext::from_traceparent(traceparent?)).flatten();
        let of_b3 = || self.b3.then(|| TraceContext::from_b3(b3?)).flatten();
        let of_multi = || {
            let sampled = if flags == Some(b"1") { flags } else { sampled };
            TraceContext::from_parts(trace?.trim_ascii(), span?.trim_ascii(), sampled)
        };
        of_w3c().or_else(of_b3).or_else(|| self.b3_multi.then(of_multi).flatten())
    }

    /// Names of the lines that [`ContextHeaders::inject`] replaces.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let w3c = self.w3c.then_some(TRACEPARENT);
        let b3 = self.b3.then_some(B3);
        let multi = [B3_TRACE_ID, B3_SPAN_ID, B3_SAMPLED, B3_FLAGS, B3_PARENT];
        w3c.into_iter().chain(b3).chain(multi.into_iter().filter(|_| self.b3_multi))
    }

    /// Lines that name a span as the parent.
    #[must_use]
    pub fn inject(&self, context: &TraceContext) -> Vec<(&'static str, String)> {
        let TraceContext { trace_id, span_id, sampled } = context;
        let flag = u8::from(*sampled == Some(true));
        let mut lines = Vec::new();
        if self.w3c {
            lines.push((TRACEPARENT, context.traceparent()));
        }
        if self.b3 {
            lines.push((B3, format!("{trace_id:032x}-{span_id:016x}-{flag}")));
        }
        if self.b3_multi {
            lines.push((B3_TRACE_ID, format!("{trace_id:032x}")));
            lines.push((B3_SPAN_ID, format!("{span_id:016x}")));
            lines.push((B3_SAMPLED, flag.to_string()));
        }
        lines
    }
}

/// A number of up to 32 hexadecimal digits in lower case.
fn number(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// B3 does not forbid upper case.
fn b3_number(text: &[u8]) -> Option<u128> {
    number(&text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn all() -> ContextHeaders {
        ContextHeaders::from_list(Some("tracecontext,baggage,b3,b3multi")).0
    }

    fn extract(headers: &ContextHeaders, lines: &[(&str, &str)]) -> Option<TraceContext> {
        headers.extract(lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn expected(sampled: Option<bool>) -> Option<TraceContext> {
        let trace_id = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
        Some(TraceContext { trace_id, span_id: 0x00f0_67aa_0ba9_02b7, sampled })
    }

    #[test]
    fn a_span_is_read_in_every_form() {
        let all = all();
        for (flags, sampled) in [("01", true), ("00", false), ("03", true)] {
            let value = format!("00-{TRACE}-{SPAN}-{flags}");
            assert_eq!(extract(&all, &[("TraceParent", &value)]), expected(Some(sampled)));
        }
        let later = format!("cc-{TRACE}-{SPAN}-03-what-comes");
        assert_eq!(extract(&all, &[("traceparent", &later)]), expected(Some(true)));
        for (end, sampled) in [("-d", Some(true)), ("-0", Some(false)), ("", None)] {
            assert_eq!(
                extract(&all, &[("b3", &format!("{TRACE}-{SPAN}{end}"))]),
                expected(sampled)
            );
        }
        let mut multi = vec![("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN)];
        assert_eq!(extract(&all, &multi), expected(None));
        multi.push(("X-B3-Sampled", "0"));
        assert_eq!(extract(&all, &multi), expected(Some(false)));
        multi.push(("X-B3-Flags", "1"));
        assert_eq!(extract(&all, &multi), expected(Some(true)));
        let short = extract(&all, &[("b3", &format!("A3CE929D0E0E4736-{SPAN}-1"))]);
        assert_eq!(short.map(|found| found.trace_id), Some(0xa3ce_929d_0e0e_4736));
    }

    #[test]
    fn a_form_that_is_not_chosen_is_not_read() {
        let (w3c, unknown) = ContextHeaders::from_list(None);
        assert_eq!(extract(&w3c, &[("b3", &format!("{TRACE}-{SPAN}-1"))]), None);
        assert!(unknown.is_empty() && w3c.has_w3c() && !w3c.has_b3());
        let (b3, unknown) = ContextHeaders::from_list(Some("b3, jaeger"));
        assert_eq!(extract(&b3, &[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))]), None);
        assert_eq!(unknown, ["jaeger"]);
    }

    #[test]
    fn a_damaged_context_is_none() {
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", &SPAN[1..]),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00_{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(extract(&all(), &[("traceparent", &wrong)]), None, "{wrong}");
        }
        assert_eq!(extract(&all(), &[("b3", "0")]), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for name in ["tracecontext", "b3", "b3multi"] {
            let (headers, _) = ContextHeaders::from_list(Some(name));
            let lines = headers.inject(&expected(Some(true)).unwrap());
            let as_text: Vec<_> = lines.iter().map(|(name, text)| (*name, text.as_str())).collect();
            assert_eq!(extract(&headers, &as_text), expected(Some(true)), "{lines:?}");
            assert!(lines.iter().all(|(name, _)| headers.names().any(|known| known == *name)));
        }
    }
}
