//! Logs, always on standard error: text for people, JSON for collectors.

mod json;
mod limit;
#[cfg(test)]
mod output;

use std::{io::IsTerminal as _, str::FromStr};

use modash_telemetry::{Telemetry, span_layer};
use tracing::Metadata;
use tracing_subscriber::{Layer, Registry, filter::Targets, fmt, fmt::format, prelude::*};

use json::OtelJson;
use limit::Limited;

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text if standard error is a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line, with the fields of OpenTelemetry's log data model.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be \"auto\", \"text\" or \"json\""),
        }
    }
}

impl LogFormat {
    fn is_json(self) -> bool {
        match self {
            Self::Auto => !std::io::stderr().is_terminal(),
            Self::Text => false,
            Self::Json => true,
        }
    }
}

/// Begins to log under the name of a service, and to export the spans of `telemetry`. A
/// second call changes nothing.
pub(crate) fn start(
    service: &str,
    filter: Targets,
    form: LogFormat,
    telemetry: Option<&Telemetry>,
) {
    let lines = lines(service, form);
    let result = match telemetry.and_then(span_layer) {
        None => tracing_subscriber::registry().with(lines).with(filter).try_init(),
        // The filter chooses lines, not spans.
        Some(spans) => {
            tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init()
        }
    };
    drop(result);
}

/// Writes log lines.
fn lines(service: &str, form: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer =
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    if form.is_json() {
        let (json, notes) = (OtelJson::new(service), OtelJson::new(service));
        let note = move |left_out: u64, like: &Metadata<'_>| notes.left_out(left_out, like);
        Box::new(layer.event_format(Limited::new(json, note)))
    } else {
        let text = format().with_target(false);
        let note = |left_out: u64, like: &Metadata<'_>| {
            format!("({left_out} lines like the next one, of {}, were left out)", like.target())
        };
        Box::new(layer.event_format(Limited::new(text, note)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_has_one_of_three_names() {
        assert_eq!("auto".parse(), Ok(LogFormat::Auto));
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
