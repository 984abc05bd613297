//! A few fields of an encoded event, read in place: decoding all of it would allocate
//! a dozen texts for each request.

use prost::encoding::{WireType, decode_key, decode_varint};

/// What an event says, as far as metrics need it. Times are in microseconds; what an
/// event does not say is absent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance<'e> {
    pub(crate) upstream: &'e str,
    pub(crate) dialect: &'e str,
    /// Model named by the response, else the one requested.
    pub(crate) model: Option<&'e str>,
    pub(crate) status: Option<u64>,
    /// Number of an `Outcome`.
    pub(crate) outcome: u64,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) completion_tokens: Option<u64>,
    pub(crate) connect: Option<u64>,
    pub(crate) upstream_sent: Option<u64>,
    pub(crate) first_token: Option<u64>,
    pub(crate) duration: Option<u64>,
    pub(crate) trace_id: Option<&'e str>,
    /// The request is sampled if it has one.
    pub(crate) span_id: Option<u64>,
    /// An encoded `RateLimits`.
    pub(crate) rate_limits: Option<&'e [u8]>,
}

impl<'e> Glance<'e> {
    /// Reads an event; `None` if it is damaged.
    pub(crate) fn read(mut event: &'e [u8]) -> Option<Self> {
        let mut glance = Self::default();
        let mut requested = None;
        while let Some((tag, field)) = next_field(&mut event)? {
            match (tag, field) {
                (10, Field::Bytes(text)) => glance.upstream = str::from_utf8(text).ok()?,
                (11, Field::Bytes(text)) => glance.dialect = str::from_utf8(text).ok()?,
                (15, Field::Bytes(text)) => requested = Some(str::from_utf8(text).ok()?),
                (22, Field::Bytes(text)) => glance.trace_id = Some(str::from_utf8(text).ok()?),
                (23, Field::Fixed(id)) => glance.span_id = Some(id),
                (30, Field::Number(status)) => glance.status = Some(status),
                (31, Field::Bytes(text)) => glance.model = Some(str::from_utf8(text).ok()?),
                (35, Field::Number(outcome)) => glance.outcome = outcome,
                (51, Field::Number(tokens)) => glance.prompt_tokens = Some(tokens),
                (54, Field::Number(tokens)) => glance.completion_tokens = Some(tokens),
                (65, Field::Bytes(limits)) => glance.rate_limits = Some(limits),
                (70, Field::Bytes(time)) => glance.connect = Some(micros(time)?),
                (72, Field::Bytes(time)) => glance.first_token = Some(micros(time)?),
                (74, Field::Bytes(time)) => glance.duration = Some(micros(time)?),
                (80, Field::Bytes(time)) => glance.upstream_sent = Some(micros(time)?),
                _ => {}
            }
        }
        glance.model = glance.model.or(requested);
        Some(glance)
    }

    /// What modash added before the upstream had the request: from its head to its being
    /// sent, without the time to connect.
    pub(crate) fn overhead(&self) -> Option<u64> {
        Some(self.upstream_sent?.saturating_sub(self.connect.unwrap_or(0)))
    }
}

/// A field's value on the wire, of the kinds that are read.
enum Field<'e> {
    Number(u64),
    Bytes(&'e [u8]),
    /// Of eight bytes.
    Fixed(u64),
    /// Of four.
    Other,
}

/// Takes a field with its tag off the front; `Some(None)` at the end.
fn next_field<'e>(rest: &mut &'e [u8]) -> Option<Option<(u32, Field<'e>)>> {
    if rest.is_empty() {
        return Some(None);
    }
    let (tag, wire) = decode_key(rest).ok()?;
    let field = match wire {
        WireType::Varint => Field::Number(decode_varint(rest).ok()?),
        WireType::LengthDelimited => {
            let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Field::Bytes(bytes)
        }
        WireType::SixtyFourBit => {
            let (bytes, after) = rest.split_first_chunk::<8>()?;
            *rest = after;
            Field::Fixed(u64::from_le_bytes(*bytes))
        }
        WireType::ThirtyTwoBit => {
            *rest = rest.get(4..)?;
            Field::Other
        }
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    Some(Some((tag, field)))
}

/// Microseconds of an encoded `google.protobuf.Duration` that is not negative.
fn micros(mut duration: &[u8]) -> Option<u64> {
    let (mut seconds, mut nanos) = (0_u64, 0_u64);
    while let Some((tag, field)) = next_field(&mut duration)? {
        match (tag, field) {
            (1, Field::Number(number)) => seconds = number,
            (2, Field::Number(number)) => nanos = number,
            _ => {}
        }
    }
    seconds.checked_mul(1_000_000)?.checked_add(nanos / 1_000)
}

#[cfg(test)]
mod tests {
    use modash_proto::{
        duration_from_micros,
        v1::{LogHistogram, Outcome, UsageEvent},
    };
    use prost::Message as _;

    use super::*;

    fn event() -> UsageEvent {
        UsageEvent {
            event_id: "01939e3c-7b1a-7cc0-8000-000000000001".to_owned(),
            upstream: "openai".to_owned(),
            dialect: "openai-chat".to_owned(),
            model_requested: Some("asked".to_owned()),
            model: Some("answered".to_owned()),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
            span_id: Some(u64::MAX - 7),
            tags: [("team".to_owned(), "a".to_owned())].into(),
            status: Some(200),
            outcome: Outcome::ClientClosed.into(),
            prompt_tokens: Some(0),
            completion_tokens: Some(300),
            upstream_cost_usd: Some(0.25),
            connect: Some(duration_from_micros(1_200)),
            upstream_sent: Some(duration_from_micros(1_250)),
            first_token: Some(duration_from_micros(2_000_003)),
            duration: Some(duration_from_micros(61_000_000)),
            token_gaps: Some(LogHistogram { indexes: vec![1, 9], counts: vec![1, 1] }),
            ..UsageEvent::default()
        }
    }

    #[test]
    fn the_fields_are_those_of_the_event() {
        let bytes = event().encode_to_vec();
        let glance = Glance::read(&bytes).unwrap();
        let expected = Glance {
            upstream: "openai",
            dialect: "openai-chat",
            model: Some("answered"),
            status: Some(200),
            outcome: Outcome::ClientClosed as u64,
            prompt_tokens: Some(0),
            completion_tokens: Some(300),
            connect: Some(1_200),
            upstream_sent: Some(1_250),
            first_token: Some(2_000_003),
            duration: Some(61_000_000),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            span_id: Some(u64::MAX - 7),
            rate_limits: None,
        };
        assert_eq!(glance, expected);
        assert_eq!(glance.overhead(), Some(50));
    }

    #[test]
    fn what_an_event_does_not_say_is_absent() {
        let bytes =
            UsageEvent { model_requested: Some("asked".to_owned()), ..UsageEvent::default() };
        let bytes = bytes.encode_to_vec();
        let glance = Glance::read(&bytes).unwrap();
        assert_eq!(glance, Glance { model: Some("asked"), ..Glance::default() });
        assert_eq!(glance.overhead(), None);
    }

    #[test]
    fn an_event_that_is_cut_off_anywhere_is_no_panic() {
        let bytes = event().encode_to_vec();
        let read = (0..bytes.len()).filter(|end| Glance::read(&bytes[..*end]).is_some()).count();
        assert!(read < bytes.len());
        assert_eq!(Glance::read(&[0xff; 40]), None);
    }
}
