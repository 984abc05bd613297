//! Log lines as JSON, one object a line, with the fields of OpenTelemetry's log data
//! model (<https://opentelemetry.io/docs/specs/otel/logs/data-model/>) and the names that
//! it gives to trace context outside of OTLP: `trace_id`, `span_id`.

use std::fmt;

use serde_json::{Map, Value, json};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime as Rfc3339},
    },
    registry::LookupSpan,
};

/// Fields of an event that are not attributes but trace context.
const TRACE_CONTEXT: [&str; 2] = ["trace_id", "span_id"];

/// Writes an event as an object.
#[derive(Debug)]
pub(super) struct OtelJson {
    resource: Value,
}

impl OtelJson {
    pub(super) fn new(service: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self { resource: json!({ "service.name": service, "service.version": version }) }
    }

    fn object(&self, event: &Event<'_>) -> Map<String, Value> {
        let about = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut object = Map::new();
        let mut timestamp = String::new();
        // Writing to a String cannot fail.
        let _ = Rfc3339.format_time(&mut Writer::new(&mut timestamp));
        object.insert("timestamp".to_owned(), timestamp.into());
        let (number, text) = severity(*about.level());
        object.insert("severity_number".to_owned(), number.into());
        object.insert("severity_text".to_owned(), text.into());
        object.insert("body".to_owned(), fields.body.into());
        if let Some((trace_id, span_id)) = modash_telemetry::current_ids() {
            object.insert("trace_id".to_owned(), trace_id.into());
            object.insert("span_id".to_owned(), span_id.into());
        }
        for name in TRACE_CONTEXT {
            if let Some(value) = fields.attributes.remove(name) {
                object.insert(name.to_owned(), value);
            }
        }
        object.insert("attributes".to_owned(), fields.attributes.into());
        object.insert("scope".to_owned(), json!({ "name": about.target() }));
        object.insert("resource".to_owned(), self.resource.clone());
        object
    }
}

impl OtelJson {
    /// The line that says that lines were left out.
    pub(super) fn left_out(&self, lines: u64, like: &Metadata<'_>) -> String {
        let mut timestamp = String::new();
        let _ = Rfc3339.format_time(&mut Writer::new(&mut timestamp));
        json!({
            "timestamp": timestamp,
            "severity_number": 13,
            "severity_text": "WARN",
            "body": "lines were left out: too many from one place",
            "attributes": { "left_out": lines, "line": like.line() },
            "scope": { "name": like.target() },
            "resource": self.resource,
        })
        .to_string()
    }
}

/// Number and text of the data model's severity.
fn severity(level: Level) -> (u8, &'static str) {
    match level {
        Level::TRACE => (1, "TRACE"),
        Level::DEBUG => (5, "DEBUG"),
        Level::INFO => (9, "INFO"),
        Level::WARN => (13, "WARN"),
        Level::ERROR => (17, "ERROR"),
    }
}

impl<S, N> FormatEvent<S, N> for OtelJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = serde_json::to_string(&self.object(event)).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// The message and the other fields of an event.
#[derive(Default)]
struct Fields {
    body: String,
    attributes: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.body = text,
            (name, value) => {
                // Identifiers of Rust that are words of it.
                let name = name.strip_prefix("r#").unwrap_or(name);
                self.attributes.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{fmt, prelude::*};

    use super::*;
    use crate::log::output::Output;

    #[test]
    fn a_line_has_the_fields_of_the_data_model() {
        let output = Output::default();
        let writer = output.clone();
        let layer =
            fmt::layer().event_format(OtelJson::new("kitchen")).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(dish = %"a \"soup\"", hot = true, count = 3_u64,
                trace_id = "4bf92f3577b34da6a3ce929d0e0e4736", "served\ncold");
        });
        let text = output.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let mut line: Value = serde_json::from_str(&text).unwrap();
        let timestamp = line["timestamp"].take();
        let timestamp = timestamp.as_str().unwrap();
        assert!(timestamp.ends_with('Z') && timestamp.starts_with("20"), "{timestamp}");
        let expected = json!({
            "timestamp": null,
            "severity_number": 13,
            "severity_text": "WARN",
            "body": "served\ncold",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "attributes": { "dish": "a \"soup\"", "hot": true, "count": 3 },
            "scope": { "name": "modash_runtime::log::json::tests" },
            "resource": { "service.name": "kitchen", "service.version": env!("CARGO_PKG_VERSION") }
        });
        assert_eq!(line, expected);
    }
}
