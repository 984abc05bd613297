//! What the access log shows.

use std::str::FromStr;

/// Form of the lines of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// No access log.
    Off,
    /// For people.
    Text,
    /// One JSON object a line, like the log's.
    Json,
}

impl FromStr for AccessLogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be \"off\", \"text\" or \"json\""),
        }
    }
}

/// A share of requests: more than 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(share) if share > 0.0 && share <= 1.0 => Ok(Self(share)),
            _ => Err("must be a share above 0 and at most 1, for example 0.01"),
        }
    }
}
