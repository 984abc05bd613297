//! A payload of `/rpc` as message. Strict where a wrong guess would answer
//! another question than the one asked: numbers are numbers, enums are names.
//! Every mistake is reported, each with the field it is in.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use prost_types::{Duration, Timestamp};
use serde_json::{Map, Value as Json};

/// Milliseconds of the years 1 to 9999, which is what a Timestamp can hold.
const TIMESTAMP_MILLISECONDS: std::ops::RangeInclusive<f64> =
    -62_135_596_800_000.0..=253_402_300_799_999.0;

/// Milliseconds of 10,000 years, the most that a Duration can hold.
const DURATION_MILLISECONDS: std::ops::RangeInclusive<f64> =
    -315_576_000_000_000.0..=315_576_000_000_000.0;

/// What is wrong with a payload, one line for each field.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<String>);

impl Mistakes {
    /// Notes that the field at `path` is wrong.
    pub(crate) fn add(&mut self, path: &str, expected: impl std::fmt::Display) {
        let path = if path.is_empty() { "payload" } else { path };
        self.0.push(format!("{path}: {expected}"));
    }

    /// Whether something about the field at `path` is noted.
    pub(crate) fn mention(&self, path: &str) -> bool {
        self.0.iter().any(|line| line.strip_prefix(path).is_some_and(|rest| rest.starts_with(':')))
    }

    /// Ok if nothing is wrong, else all lines.
    pub(crate) fn into_result(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0.join("; ")) }
    }
}

/// Reads a payload. What is wrong is noted and left out.
pub(crate) fn read(
    descriptor: &MessageDescriptor,
    payload: &Json,
    mistakes: &mut Mistakes,
) -> DynamicMessage {
    message(descriptor, payload, "", mistakes)
}

fn message(
    descriptor: &MessageDescriptor,
    json: &Json,
    path: &str,
    mistakes: &mut Mistakes,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let object = match json {
        Json::Object(object) => object,
        Json::Null => return message,
        other => {
            mistakes.add(path, format!("expected an object, got {}", brief(other)));
            return message;
        }
    };
    for (key, json) in object.iter().filter(|(_, json)| !json.is_null()) {
        let Some(known) = descriptor.get_field_by_json_name(key) else {
            continue;
        };
        let path = join(path, key);
        if let Some(value) = field(&known, json, &path, mistakes) {
            message.set_field(&known, value);
        }
    }
    one_of_each(descriptor, object, path, mistakes);
    message
}

/// Two members of a oneof contradict each other.
fn one_of_each(
    descriptor: &MessageDescriptor,
    object: &Map<String, Json>,
    path: &str,
    mistakes: &mut Mistakes,
) {
    for oneof in descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        let names: Vec<_> = oneof
            .fields()
            .filter(|field| object.get(field.json_name()).is_some_and(|json| !json.is_null()))
            .map(|field| field.json_name().to_owned())
            .collect();
        if names.len() > 1 {
            mistakes.add(path, format!("only one of {} can be set", names.join(", ")));
        }
    }
}

fn field(
    field: &FieldDescriptor,
    json: &Json,
    path: &str,
    mistakes: &mut Mistakes,
) -> Option<Value> {
    let kind = field.kind();
    if field.is_map() {
        let entry = kind.as_message()?;
        return map(&entry.map_entry_value_field().kind(), json, path, mistakes);
    }
    if field.is_list() {
        let Json::Array(items) = json else {
            mistakes.add(path, format!("expected a list, got {}", brief(json)));
            return None;
        };
        let items = items.iter().enumerate();
        let values = items
            .filter_map(|(index, item)| single(&kind, item, &format!("{path}[{index}]"), mistakes));
        return Some(Value::List(values.collect()));
    }
    single(&kind, json, path, mistakes)
}

/// Maps of the contract have strings as keys.
fn map(kind: &Kind, json: &Json, path: &str, mistakes: &mut Mistakes) -> Option<Value> {
    let Json::Object(object) = json else {
        mistakes.add(path, format!("expected an object, got {}", brief(json)));
        return None;
    };
    let entries: HashMap<_, _> = object
        .iter()
        .filter_map(|(key, json)| {
            let value = single(kind, json, &join(path, key), mistakes)?;
            Some((MapKey::String(key.clone()), value))
        })
        .collect();
    Some(Value::Map(entries))
}

fn single(kind: &Kind, json: &Json, path: &str, mistakes: &mut Mistakes) -> Option<Value> {
    let read = match kind {
        Kind::Message(descriptor) => match descriptor.full_name() {
            "google.protobuf.Timestamp" => timestamp(descriptor, json),
            "google.protobuf.Duration" => duration(descriptor, json),
            _ => return Some(Value::Message(message(descriptor, json, path, mistakes))),
        },
        Kind::Bool => json.as_bool().map(Value::Bool).ok_or("true or false".to_owned()),
        Kind::String => {
            json.as_str().map(|text| Value::String(text.to_owned())).ok_or("a string".to_owned())
        }
        Kind::Double => json.as_f64().map(Value::F64).ok_or("a number".to_owned()),
        Kind::Float => json.as_f64().map(|n| Value::F32(n as f32)).ok_or("a number".to_owned()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(json, Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(json, Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(json, Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(json, Value::U64),
        Kind::Enum(values) => json
            .as_str()
            .and_then(|name| values.get_value_by_name(name))
            .map(|value| Value::EnumNumber(value.number()))
            .ok_or_else(|| {
                let names: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
                format!("one of {}", names.join(", "))
            }),
        // No request has bytes.
        Kind::Bytes => Err("nothing: bytes cannot be sent here".to_owned()),
    };
    read.map_err(|expected| {
        mistakes.add(path, format!("expected {expected}, got {}", brief(json)));
    })
    .ok()
}

/// An integer that fits, `1.0` included.
fn integer<T>(json: &Json, value: fn(T) -> Value) -> Result<Value, String>
where
    T: TryFrom<i128> + Bounds,
{
    // Beyond 2^53 a fraction cannot be told from a rounding.
    let exact = |number: f64| number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    let number = match json {
        Json::Number(number) => (number.as_i64().map(i128::from))
            .or_else(|| number.as_u64().map(i128::from))
            .or_else(|| number.as_f64().filter(|float| exact(*float)).map(|float| float as i128)),
        _ => None,
    };
    number
        .and_then(|number| T::try_from(number).ok())
        .map(value)
        .ok_or_else(|| format!("an integer from {} to {}", T::LEAST, T::MOST))
}

/// The range of an integer type, for messages.
trait Bounds {
    const LEAST: i128;
    const MOST: i128;
}

macro_rules! bounds {
    ($($type:ty),*) => {
        $(impl Bounds for $type {
            const LEAST: i128 = <$type>::MIN as i128;
            const MOST: i128 = <$type>::MAX as i128;
        })*
    };
}

bounds!(i32, i64, u32, u64);

/// Milliseconds since 1970, or RFC 3339.
fn timestamp(descriptor: &MessageDescriptor, json: &Json) -> Result<Value, String> {
    let timestamp = match json {
        Json::Number(number) => number
            .as_f64()
            .filter(|milliseconds| TIMESTAMP_MILLISECONDS.contains(milliseconds))
            .map(|milliseconds| {
                let micros = (milliseconds * 1_000.0).round() as i64;
                Timestamp {
                    seconds: micros.div_euclid(1_000_000),
                    nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32,
                }
            }),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    let Timestamp { seconds, nanos } =
        timestamp.ok_or("milliseconds since 1970, or a time as in RFC 3339")?;
    Ok(seconds_and_nanos(descriptor, seconds, nanos))
}

/// Milliseconds, or seconds as in "1.5s".
fn duration(descriptor: &MessageDescriptor, json: &Json) -> Result<Value, String> {
    let duration = match json {
        Json::Number(number) => number
            .as_f64()
            .filter(|milliseconds| DURATION_MILLISECONDS.contains(milliseconds))
            .map(|milliseconds| {
                let micros = (milliseconds * 1_000.0).round() as i64;
                // Both parts have the same sign.
                Duration { seconds: micros / 1_000_000, nanos: (micros % 1_000_000 * 1_000) as i32 }
            }),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    let Duration { seconds, nanos } = duration.ok_or("milliseconds, or seconds as in \"1.5s\"")?;
    Ok(seconds_and_nanos(descriptor, seconds, nanos))
}

fn seconds_and_nanos(descriptor: &MessageDescriptor, seconds: i64, nanos: i32) -> Value {
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_name("seconds", Value::I64(seconds));
    message.set_field_by_name("nanos", Value::I32(nanos));
    Value::Message(message)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A wrong value, short enough for a message.
fn brief(json: &Json) -> String {
    match json {
        Json::Object(_) => "an object".to_owned(),
        Json::Array(_) => "a list".to_owned(),
        Json::String(text) if text.chars().count() > 40 => "a long string".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;
    use modash_proto::v1;
    use serde_json::json;

    fn summary(payload: &Json) -> Result<v1::UsageSummaryRequest, String> {
        read_as("UsageSummaryRequest", payload)
    }

    fn read_as<M: prost::Message + Default>(name: &str, payload: &Json) -> Result<M, String> {
        let descriptor = Contract::new().unwrap().message(&format!("modash.v1.{name}")).unwrap();
        let mut mistakes = Mistakes::default();
        let message = read(&descriptor, payload, &mut mistakes);
        mistakes.into_result().map(|()| message.transcode_to().unwrap())
    }

    /// All messages that a message may have within it, itself included.
    fn within(message: &MessageDescriptor, found: &mut Vec<MessageDescriptor>) {
        if found.contains(message) {
            return;
        }
        found.push(message.clone());
        for field in message.fields() {
            if let Kind::Message(part) = field.kind() {
                within(&part, found);
            }
        }
    }

    /// A type of protobuf's own that is read as any other message would have to be written as
    /// no client writes it.
    #[test]
    fn every_type_of_protobuf_in_a_request_has_a_form_of_its_own() {
        let summary = Contract::new().unwrap().message("modash.v1.UsageSummaryRequest").unwrap();
        let services = summary.parent_pool().services().collect::<Vec<_>>();
        let mut found = Vec::new();
        for method in services.iter().flat_map(prost_reflect::ServiceDescriptor::methods) {
            within(&method.input(), &mut found);
        }
        let mut names: Vec<_> = found.iter().map(MessageDescriptor::full_name).collect();
        names.retain(|name| name.starts_with("google.protobuf."));
        names.sort_unstable();
        assert_eq!(names, ["google.protobuf.Duration", "google.protobuf.Timestamp"]);
    }

    #[test]
    fn times_are_milliseconds_or_rfc_3339() {
        let range =
            json!({"range": {"start": 1_795_441_353_618.25, "end": "2026-11-23T14:00:00Z"}});
        let range = summary(&range).unwrap().range.unwrap();
        assert_eq!(range.start, Some(Timestamp { seconds: 1_795_441_353, nanos: 618_250_000 }));
        assert_eq!(range.end, Some(Timestamp { seconds: 1_795_442_400, nanos: 0 }));
        assert!(summary(&json!({"range": {"start": 1e300}})).unwrap_err().contains("range.start"));
    }

    #[test]
    fn a_duration_is_a_number_of_milliseconds_or_a_text_of_seconds() {
        let rolling = |rolling: Json| {
            read_as::<v1::SaveBudgetRequest>("SaveBudgetRequest", &json!({"rolling": rolling}))
        };
        let period = |seconds, nanos| {
            Some(v1::save_budget_request::Period::Rolling(Duration { seconds, nanos }))
        };
        assert_eq!(rolling(json!(1_800_000)).unwrap().period, period(1_800, 0));
        assert_eq!(rolling(json!(0.25)).unwrap().period, period(0, 250_000));
        assert_eq!(rolling(json!(-1_500)).unwrap().period, period(-1, -500_000_000));
        assert_eq!(rolling(json!("1800s")).unwrap().period, period(1_800, 0));
        for wrong in [json!(1e300), json!("soon"), json!({"seconds": 1}), json!(true)] {
            let error = rolling(wrong.clone()).unwrap_err();
            assert!(error.starts_with("rolling: expected milliseconds"), "{wrong}: {error}");
        }
    }

    #[test]
    fn unknown_keys_and_nulls_count_as_absent() {
        let payload = json!({"from": 1, "range": null, "timeZone": null, "filter": {"x": 1}});
        let request = summary(&payload).unwrap();
        assert_eq!(request.range, None);
        assert_eq!(request.filter, Some(v1::Filter::default()));
        assert_eq!(summary(&json!(null)).unwrap(), v1::UsageSummaryRequest::default());
    }

    #[test]
    fn integers_may_be_written_with_an_empty_fraction_only() {
        let page = |page: Json| {
            read_as::<v1::RecentRequestsRequest>("RecentRequestsRequest", &json!({"page": page}))
        };
        assert_eq!(page(json!(1.0)).unwrap().page, 1);
        assert_eq!(page(json!(4_294_967_295_u32)).unwrap().page, 4_294_967_295);
        for wrong in [json!(1.5), json!("1"), json!(-1), json!(4_294_967_296_u64), json!(true)] {
            let error = page(wrong.clone()).unwrap_err();
            assert!(error.starts_with("page: expected an integer"), "{wrong}: {error}");
        }
    }

    #[test]
    fn lists_maps_enums_and_oneofs_are_read() {
        let request: v1::UsageTimeseriesRequest = read_as(
            "UsageTimeseriesRequest",
            &json!({
                "filter": {
                    "models": ["a", "b"], "outcomes": ["OUTCOME_OK"],
                    "tags": {"team": "x"}, "stream": true,
                },
                "groupBy": {"tag": "team"},
            }),
        )
        .unwrap();
        let filter = request.filter.unwrap();
        assert_eq!(filter.models, ["a", "b"]);
        assert_eq!(filter.outcomes, [i32::from(v1::Outcome::Ok)]);
        assert_eq!(filter.tags["team"], "x");
        assert_eq!(filter.stream, Some(true));
        let by = request.group_by.unwrap().by.unwrap();
        assert_eq!(by, v1::group_by::By::Tag("team".to_owned()));
    }

    #[test]
    fn every_mistake_is_named() {
        let error = read_as::<v1::UsageTimeseriesRequest>(
            "UsageTimeseriesRequest",
            &json!({
                "filter": {"models": ["a", 1], "outcomes": ["OK"], "tags": {"a": 1}, "users": "u"},
                "groupBy": {"tag": "team", "dimension": "DIMENSION_MODEL"},
                "top": "5",
            }),
        )
        .unwrap_err();
        for field in [
            "filter.models[1]",
            "filter.outcomes[0]",
            "filter.tags.a",
            "filter.users",
            "groupBy",
            "top",
        ] {
            assert!(error.contains(&format!("{field}: ")), "{field} in {error}");
        }
    }

    #[test]
    fn a_payload_that_is_no_object_is_refused() {
        assert_eq!(summary(&json!([1])).unwrap_err(), "payload: expected an object, got a list");
    }
}
