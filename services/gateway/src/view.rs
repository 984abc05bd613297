//! A message as `/rpc` shows it: every number is a JSON number, times are
//! milliseconds since 1970, durations milliseconds, and what is unknown is
//! null. Ids of spans, the only `fixed64`, are 16 hexadecimal digits: as numbers
//! JavaScript would round them. No field is ever left out.

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};

/// Serialises a message; made for the length of one call.
pub(crate) struct View<'a>(pub(crate) &'a DynamicMessage);

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let descriptor = self.0.descriptor();
        match descriptor.full_name() {
            "google.protobuf.Timestamp" | "google.protobuf.Duration" => {
                milliseconds(self.0).serialize(serializer)
            }
            _ => {
                let fields = descriptor.fields();
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for field in fields {
                    map.serialize_key(field.json_name())?;
                    if field.supports_presence() && !self.0.has_field(&field) {
                        map.serialize_value(&())?;
                    } else {
                        map.serialize_value(&Field(&self.0.get_field(&field), &field))?;
                    }
                }
                map.end()
            }
        }
    }
}

/// The value of a field: list, map or single.
struct Field<'a>(&'a Value, &'a FieldDescriptor);

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::List(values) => {
                let kind = self.1.kind();
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&Single(value, &kind))?;
                }
                list.end()
            }
            Value::Map(entries) => {
                let kind = match self.1.kind() {
                    Kind::Message(entry) => entry.map_entry_value_field().kind(),
                    kind => kind,
                };
                // Sorted, so that one message has one text.
                let mut entries: Vec<_> =
                    entries.iter().map(|(key, value)| (text_of(key), value)).collect();
                entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&key, &Single(value, &kind))?;
                }
                map.end()
            }
            value => Single(value, &self.1.kind()).serialize(serializer),
        }
    }
}

/// One value.
struct Single<'a>(&'a Value, &'a Kind);

impl Serialize for Single<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::I64(value) => serializer.serialize_i64(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::U64(value) if *self.1 == Kind::Fixed64 => {
                serializer.collect_str(&format_args!("{value:016x}"))
            }
            Value::U64(value) => serializer.serialize_u64(*value),
            // serde_json writes NaN and the infinities as null.
            Value::F32(value) => serializer.serialize_f32(*value),
            Value::F64(value) => serializer.serialize_f64(*value),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.collect_str(&Base64Display::new(value, &STANDARD)),
            Value::Message(message) => View(message).serialize(serializer),
            Value::EnumNumber(number) => {
                let name = self.1.as_enum().and_then(|values| values.get_value(*number));
                match name {
                    Some(value) => serializer.serialize_str(value.name()),
                    // Of a newer contract than ours.
                    None => serializer.serialize_i32(*number),
                }
            }
            // Neither occurs inside a list or a map.
            Value::List(_) | Value::Map(_) => serializer.serialize_unit(),
        }
    }
}

/// Milliseconds of a Timestamp or a Duration, to the microsecond.
#[derive(Serialize)]
#[serde(untagged)]
enum Milliseconds {
    Whole(i64),
    Fraction(f64),
}

fn milliseconds(message: &DynamicMessage) -> Milliseconds {
    let number = |name| message.get_field_by_name(name).map(std::borrow::Cow::into_owned);
    let seconds = number("seconds").and_then(|value| value.as_i64()).unwrap_or_default();
    let nanos = number("nanos").and_then(|value| value.as_i32()).unwrap_or_default();
    let micros = seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos) / 1_000);
    if micros % 1_000 == 0 {
        Milliseconds::Whole(micros / 1_000)
    } else {
        Milliseconds::Fraction(micros as f64 / 1_000.0)
    }
}

fn text_of(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;
    use modash_proto::v1;
    use serde_json::{Value as Json, json};

    fn view(name: &str, message: &impl prost::Message) -> Json {
        let descriptor = Contract::new().unwrap().message(&format!("modash.v1.{name}")).unwrap();
        let mut dynamic = DynamicMessage::new(descriptor);
        dynamic.transcode_from(message).unwrap();
        serde_json::to_value(View(&dynamic)).unwrap()
    }

    #[test]
    fn every_field_is_there_and_unknown_ones_are_null() {
        let summary = view(
            "UsageSummaryResponse",
            &v1::UsageSummaryResponse { requests: 9_007_199_254_740_991, ..Default::default() },
        );
        assert_eq!(summary["requests"], json!(9_007_199_254_740_991_u64));
        assert_eq!(summary["failedRequests"], json!(0));
        assert_eq!(summary.get("previous"), Some(&Json::Null));
        assert_eq!(summary.get("durationMs"), Some(&Json::Null));
        assert_eq!(summary.get("upstreamCostUsd"), Some(&Json::Null));
        assert_eq!(summary.as_object().unwrap().len(), 20);
    }

    #[test]
    fn times_are_milliseconds_with_microseconds_behind_the_point() {
        let event = view(
            "UsageEvent",
            &v1::UsageEvent {
                started_at: Some(prost_types::Timestamp {
                    seconds: 1_795_441_353,
                    nanos: 618_000_000,
                }),
                duration: Some(prost_types::Duration { seconds: 1, nanos: 500_250_000 }),
                outcome: v1::Outcome::Ok.into(),
                span_id: Some(0x00f0_67aa_0ba9_02b7),
                tags: [("team".to_owned(), "a".to_owned())].into(),
                ..Default::default()
            },
        );
        assert_eq!(event["startedAt"], json!(1_795_441_353_618_u64));
        assert_eq!(event["duration"], json!(1500.25));
        assert_eq!(event["outcome"], json!("OUTCOME_OK"));
        assert_eq!(event["tags"], json!({"team": "a"}));
        assert_eq!(event["promptTokens"], Json::Null);
        assert_eq!(event["spanId"], json!("00f067aa0ba902b7"));
        assert_eq!(event["parentSpanId"], Json::Null);
    }

    #[test]
    fn what_is_no_number_is_null() {
        let series = view(
            "ThroughputSeries",
            &v1::ThroughputSeries {
                decode_p50: vec![1.5, f64::NAN, f64::INFINITY],
                ..Default::default()
            },
        );
        assert_eq!(series["decodeP50"], json!([1.5, null, null]));
        assert_eq!(series["requests"], json!([]));
    }
}
