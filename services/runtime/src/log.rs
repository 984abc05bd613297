//! Logs, always on standard error: text for people, JSON for collectors.

mod json;
mod limit;
#[cfg(test)]
mod output;

use std::{io::IsTerminal as _, str::FromStr};

use tracing::Metadata;
use tracing_subscriber::{EnvFilter, fmt, fmt::format, prelude::*};

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

/// Begins to log under the name of a service. A second call changes nothing.
pub(crate) fn start(service: &str, filter: EnvFilter, form: LogFormat) {
    let registry = tracing_subscriber::registry().with(filter);
    let layer =
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let result = if form.is_json() {
        let (json, notes) = (OtelJson::new(service), OtelJson::new(service));
        let note = move |left_out: u64, like: &Metadata<'_>| notes.left_out(left_out, like);
        registry.with(layer.event_format(Limited::new(json, note))).try_init()
    } else {
        let text = format().with_target(false);
        let note = |left_out: u64, like: &Metadata<'_>| {
            format!("({left_out} lines like the next one, of {}, were left out)", like.target())
        };
        registry.with(layer.event_format(Limited::new(text, note))).try_init()
    };
    drop(result);
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
