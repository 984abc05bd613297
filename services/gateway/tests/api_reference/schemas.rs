//! Messages as JSON schemas of their proto3 JSON form.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use crate::contract::Contract;

/// Whether a message is sent or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Answer,
}

/// Limits of arguments as JSON schema, which the contract has in its comments only.
const LIMITS: [(&str, &str); 48] = [
    ("AddMarkRequest.link", r#"{ "maxLength": 500 }"#),
    ("AddMarkRequest.text", r#"{ "minLength": 1, "maxLength": 200 }"#),
    ("DeleteMarkRequest.mark_id", r#"{ "format": "uuid" }"#),
    ("DeleteViewRequest.name", r#"{ "minLength": 1, "maxLength": 80 }"#),
    ("ErrorBreakdownRequest.limit", r#"{ "maximum": 1000 }"#),
    ("Budget.shares", r#"{ "maxItems": 10 }"#),
    ("DeleteBudgetRequest.budget_id", r#"{ "format": "uuid" }"#),
    ("Exclusion.client_keys", r#"{ "maxItems": 100 }"#),
    ("Exclusion.dialects", r#"{ "maxItems": 100 }"#),
    ("Exclusion.models", r#"{ "maxItems": 100 }"#),
    ("Exclusion.operations", r#"{ "maxItems": 100 }"#),
    ("Exclusion.outcomes", r#"{ "maxItems": 100 }"#),
    ("Exclusion.sessions", r#"{ "maxItems": 100 }"#),
    ("Exclusion.tags", r#"{ "maxProperties": 100 }"#),
    ("Exclusion.upstreams", r#"{ "maxItems": 100 }"#),
    ("Exclusion.users", r#"{ "maxItems": 100 }"#),
    ("SetNameRequest.id", r#"{ "minLength": 1, "maxLength": 256 }"#),
    ("SetNameRequest.name", r#"{ "maxLength": 80 }"#),
    ("SessionRequest.page_size", r#"{ "maximum": 2000 }"#),
    ("SessionRequest.session", r#"{ "minLength": 1 }"#),
    ("SessionsRequest.page_size", r#"{ "maximum": 100 }"#),
    ("Filter.client_keys", r#"{ "maxItems": 100 }"#),
    ("BreakdownRequest.page_size", r#"{ "maximum": 1000 }"#),
    ("Filter.dialects", r#"{ "maxItems": 100 }"#),
    ("Filter.models", r#"{ "maxItems": 100 }"#),
    ("Filter.operations", r#"{ "maxItems": 100 }"#),
    ("Filter.outcomes", r#"{ "maxItems": 100 }"#),
    ("Filter.sessions", r#"{ "maxItems": 100 }"#),
    ("Filter.tags", r#"{ "maxProperties": 100 }"#),
    (
        "Filter.trace_ids",
        r#"{ "maxItems": 100, "items": { "type": "string", "pattern": "^[0-9A-Fa-f]{32}$" } }"#,
    ),
    ("Filter.upstreams", r#"{ "maxItems": 100 }"#),
    ("Filter.users", r#"{ "maxItems": 100 }"#),
    ("GroupBy.tag", r#"{ "minLength": 1, "maxLength": 64 }"#),
    ("ModelBreakdownRequest.limit", r#"{ "maximum": 1000 }"#),
    ("RateLimitsRequest.limit", r#"{ "maximum": 1000 }"#),
    ("RecentRequestsRequest.page", r#"{ "minimum": 1 }"#),
    ("RecentRequestsRequest.page_size", r#"{ "minimum": 1, "maximum": 100 }"#),
    ("ListBudgetsResponse.budgets", r#"{ "maxItems": 100 }"#),
    ("SaveBudgetRequest.name", r#"{ "minLength": 1, "maxLength": 100 }"#),
    (
        "SaveBudgetRequest.shares",
        r#"{ "maxItems": 10, "items": { "type": "integer", "minimum": 1, "maximum": 1000 } }"#,
    ),
    ("SaveBudgetRequest.webhook_secret", r#"{ "pattern": "^(whsec_[A-Za-z0-9+/]+={0,2})?$" }"#),
    ("SaveBudgetRequest.webhook_url", r#"{ "maxLength": 2000 }"#),
    ("SaveViewRequest.name", r#"{ "minLength": 1, "maxLength": 80 }"#),
    ("SaveViewRequest.path", r#"{ "minLength": 1, "maxLength": 4000, "pattern": "^/" }"#),
    ("ThroughputTimeseriesRequest.bucket_seconds", r#"{ "maximum": 604800 }"#),
    ("ThroughputTimeseriesRequest.top", r#"{ "maximum": 50 }"#),
    ("UsageTimeseriesRequest.bucket_seconds", r#"{ "maximum": 604800 }"#),
    ("UsageTimeseriesRequest.top", r#"{ "maximum": 50 }"#),
];

/// Arguments without a default.
const REQUIRED: [&str; 13] = [
    "AddMarkRequest.text",
    "BreakdownRequest.group_by",
    "DeleteBudgetRequest.budget_id",
    "DeleteMarkRequest.mark_id",
    "DeleteViewRequest.name",
    "RecentRequestsRequest.page",
    "RecentRequestsRequest.page_size",
    "SaveBudgetRequest.name",
    "SaveViewRequest.name",
    "SaveViewRequest.path",
    "SessionRequest.session",
    "SetNameRequest.id",
    "SetNameRequest.kind",
];

/// Fields named above that the contract does not have.
pub(crate) fn limits_of_no_field(contract: &Contract) -> Vec<&'static str> {
    let messages = contract.files().flat_map(|file| file.messages().collect::<Vec<_>>());
    let known: Vec<_> = messages
        .flat_map(|message| message.fields().map(|field| name(&field)).collect::<Vec<_>>())
        .collect();
    let named = LIMITS.into_iter().map(|(field, _)| field).chain(REQUIRED);
    named.filter(|field| !known.iter().any(|name| name == field)).collect()
}

/// The schemas that were needed so far, by name.
pub(crate) struct Schemas<'a> {
    contract: &'a Contract,
    found: BTreeMap<String, Value>,
    directions: BTreeMap<String, Direction>,
}

impl<'a> Schemas<'a> {
    pub(crate) fn new(contract: &'a Contract) -> Self {
        Self { contract, found: BTreeMap::new(), directions: BTreeMap::new() }
    }

    /// All of them.
    pub(crate) fn into_all(self) -> BTreeMap<String, Value> {
        self.found
    }

    /// A reference to the schema of a message, which is made if it is new.
    pub(crate) fn message(&mut self, message: &MessageDescriptor, direction: Direction) -> Value {
        let mut name = message.name().to_owned();
        let same_in_both = message.fields().all(|field| field.supports_presence());
        let before = self.directions.get(&name).copied().unwrap_or(direction);
        if before != direction && !same_in_both {
            name.push_str(match direction {
                Direction::Request => "InRequest",
                Direction::Answer => "InAnswer",
            });
        }
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        // Before its fields, because a message can contain itself.
        if self.directions.insert(name.clone(), direction).is_some() {
            return reference;
        }
        let mut properties = BTreeMap::new();
        let mut required = Vec::new();
        for field in message.fields() {
            let key = field.json_name().to_owned();
            let always_there = direction == Direction::Answer && !field.supports_presence();
            if always_there || REQUIRED.contains(&self::name(&field).as_str()) {
                required.push(key.clone());
            }
            properties.insert(key, self.field(&field, direction));
        }
        let mut schema = json!({
            "type": "object",
            "description": self.contract.comment(message),
            "properties": properties,
        });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        let mut at_most_one = Vec::new();
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let names: Vec<_> = oneof.fields().map(|field| field.json_name().to_owned()).collect();
            let set = names.iter().map(|name| (name, json!({ "not": { "type": "null" } })));
            let set: BTreeMap<_, _> = set.collect();
            at_most_one.push(json!({ "not": { "required": names, "properties": set } }));
        }
        match at_most_one.as_slice() {
            [] => {}
            [only] => schema["not"] = only["not"].clone(),
            _ => schema["allOf"] = json!(at_most_one),
        }
        self.found.insert(name, schema);
        reference
    }

    fn field(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        let single = |schemas: &mut Self, kind: &Kind| schemas.single(kind, direction);
        let mut schema = if field.is_map() {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        } else if field.is_list() {
            json!({ "type": "array", "items": single(self, &field.kind()) })
        } else {
            single(self, &field.kind())
        };
        for (_, limits) in LIMITS.iter().filter(|(limited, _)| *limited == name(field)) {
            let limits: BTreeMap<String, Value> = serde_json::from_str(limits).unwrap();
            limits.into_iter().for_each(|(key, value)| schema[key] = value);
        }
        let required = REQUIRED.contains(&name(field).as_str());
        if direction == Direction::Request && !required {
            schema = or_null(schema);
        }
        schema["description"] = json!(self.contract.comment(field));
        schema
    }

    fn single(&mut self, kind: &Kind, direction: Direction) -> Value {
        match kind {
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
                "google.protobuf.Duration" => {
                    json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$" })
                }
                _ => self.message(message, direction),
            },
            Kind::Enum(names) if direction == Direction::Request => json!({
                "anyOf": [
                    self.enumeration(names),
                    { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
                ],
            }),
            Kind::Enum(names) => self.enumeration(names),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Double | Kind::Float => json!({
                "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }],
            }),
            Kind::Uint32 | Kind::Fixed32 => {
                json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX })
            }
            // Written as text; read as a number, too. A number near the largest is rounded
            // before anybody can check it.
            Kind::Uint64 | Kind::Fixed64 if direction == Direction::Request => json!({
                "anyOf": [
                    { "type": "string", "pattern": "^[0-9]{1,19}$" },
                    { "type": "integer", "minimum": 0 },
                ],
            }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "pattern": "^[0-9]+$" }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "pattern": "^-?[0-9]+$" })
            }
        }
    }

    fn enumeration(&mut self, names: &EnumDescriptor) -> Value {
        let values: Vec<_> = names.values().map(|value| value.name().to_owned()).collect();
        let meanings = names
            .values()
            .map(|value| format!("- `{}`: {}", value.name(), self.contract.comment(&value)));
        let meanings: Vec<_> = meanings.collect();
        let description = format!("{}\n\n{}", self.contract.comment(names), meanings.join("\n"));
        let schema = json!({ "type": "string", "enum": values, "description": description });
        self.found.insert(names.name().to_owned(), schema);
        json!({ "$ref": format!("#/components/schemas/{}", names.name()) })
    }
}

/// Also takes null, which stands for a field that is not set.
fn or_null(mut schema: Value) -> Value {
    match schema.get("type") {
        Some(kind) => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        None if schema.get("anyOf").is_some() => {
            let null = json!({ "type": "null" });
            schema["anyOf"].as_array_mut().unwrap().push(null);
            schema
        }
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

/// Name of a field with its message.
fn name(field: &FieldDescriptor) -> String {
    format!("{}.{}", field.parent_message().name(), field.name())
}
