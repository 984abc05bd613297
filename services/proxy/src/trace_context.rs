//! The place of a request in a trace: named by the client in `traceparent`
//! (<https://www.w3.org/TR/trace-context/>).

/// The span that a client names as the parent of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceContext {
    /// Not 0.
    pub(crate) trace_id: u128,
    /// Not 0.
    pub(crate) span_id: u64,
    /// Whether the client records its spans.
    pub(crate) sampled: bool,
}

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

impl TraceContext {
    /// Reads `00-<trace id>-<span id>-<flags>`. Later versions may have more behind it.
    pub(crate) fn from_traceparent(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (text, rest) = value.split_first_chunk::<55>()?;
        let version = number(&text[..2])?;
        let fits = [2, 35, 52].iter().all(|at| text[*at] == b'-')
            && version != 0xff
            && (rest.is_empty() || (version > 0 && rest[0] == b'-'));
        let trace_id = number(&text[3..35])?;
        let span_id = number(&text[36..52])? as u64;
        let sampled = number(&text[53..])? & 1 == 1;
        (fits && trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled })
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

/// The hexadecimal digits of a trace's id.
pub(crate) fn trace_id_text(trace_id: u128) -> [u8; 32] {
    std::array::from_fn(|at| b"0123456789abcdef"[(trace_id >> (124 - 4 * at)) as usize & 15])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(value: &str) -> Option<TraceContext> {
        TraceContext::from_traceparent(value.as_bytes())
    }

    #[test]
    fn a_context_is_read_in_this_version_and_in_later_ones() {
        let expected = |sampled| {
            let trace_id = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
            Some(TraceContext { trace_id, span_id: 0x00f0_67aa_0ba9_02b7, sampled })
        };
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-01")), expected(true));
        assert_eq!(read(&format!(" 00-{TRACE}-{SPAN}-00 ")), expected(false));
        assert_eq!(read(&format!("cc-{TRACE}-{SPAN}-03-what-comes")), expected(true));
        assert_eq!(read(&format!("cc-{TRACE}-{SPAN}-02")), expected(false));
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
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_digits_of_a_trace_are_those_that_were_read() {
        let id = read(&format!("00-{TRACE}-{SPAN}-01")).unwrap().trace_id;
        assert_eq!(trace_id_text(id), TRACE.as_bytes());
    }
}
