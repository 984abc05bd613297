//! Names of enum values that the contract does not have. The deserializer of proto3
//! JSON skips them as it skips unknown fields, and a filter without its value would
//! answer another question than the one asked.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value as Json;

/// A name that its enum does not have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Field in which it is, from the message on.
    pub(crate) path: String,
    /// The name, and those that the enum has.
    pub(crate) problem: String,
}

/// The first unknown name in a message.
pub(crate) fn unknown(message: &MessageDescriptor, json: &Json) -> Option<Unknown> {
    in_message(message, json, "")
}

fn in_message(message: &MessageDescriptor, json: &Json, path: &str) -> Option<Unknown> {
    json.as_object()?.iter().find_map(|(key, json)| {
        let named = message.get_field_by_json_name(key);
        let field = named.or_else(|| message.get_field_by_name(key))?;
        in_field(&field, json, &format!("{path}.{key}"))
    })
}

fn in_field(field: &FieldDescriptor, json: &Json, path: &str) -> Option<Unknown> {
    match (field.kind(), json) {
        (Kind::Message(entry), Json::Object(entries)) if field.is_map() => {
            let kind = entry.map_entry_value_field().kind();
            entries.iter().find_map(|(key, json)| in_value(&kind, json, &format!("{path}.{key}")))
        }
        (kind, Json::Array(items)) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, json)| in_value(&kind, json, &format!("{path}[{index}]")))
        }
        (kind, json) => in_value(&kind, json, path),
    }
}

fn in_value(kind: &Kind, json: &Json, path: &str) -> Option<Unknown> {
    match kind {
        Kind::Message(message) => in_message(message, json, path),
        Kind::Enum(names) => {
            let name = json.as_str().filter(|name| names.get_value_by_name(name).is_none())?;
            let known: Vec<_> = names.values().map(|value| value.name().to_owned()).collect();
            let name: String = name.chars().take(40).collect();
            let problem = format!("unknown value {name:?}, expected one of {}", known.join(", "));
            Some(Unknown { path: path.trim_start_matches('.').to_owned(), problem })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;
    use serde_json::json;

    fn path(message: &str, json: &Json) -> Option<String> {
        let message = Contract::new().unwrap().message(&format!("modash.v1.{message}")).unwrap();
        unknown(&message, json).map(|unknown| unknown.path)
    }

    #[test]
    fn an_unknown_name_is_found_wherever_it_is() {
        let json = json!({ "order": "MODEL_ORDER_NOPE" });
        assert_eq!(path("ModelBreakdownRequest", &json).unwrap(), "order");
        let json = json!({ "filter": { "outcomes": ["OUTCOME_OK", "NOPE"] } });
        assert_eq!(path("UsageSummaryRequest", &json).unwrap(), "filter.outcomes[1]");
        let json = json!({ "group_by": { "dimension": "x" } });
        assert_eq!(path("UsageTimeseriesRequest", &json).unwrap(), "group_by.dimension");
    }

    #[test]
    fn known_names_numbers_and_unknown_fields_pass() {
        let json = json!({ "filter": { "outcomes": ["OUTCOME_OK", 2], "models": ["NOPE"],
                                       "tags": { "a": "NOPE" } }, "nope": "NOPE", "range": null });
        assert_eq!(path("UsageSummaryRequest", &json), None);
    }
}
