//! What a request wishes to have simulated: the `x-simulate-*` headers. They pass
//! through any proxy untouched, so a test steers the server behind it.

use std::time::Duration;

use http::HeaderMap;

/// How an answer goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed before the response head.
    Drop,
    /// The connection is cut after half of the body.
    Break,
    /// Half of the body comes, then nothing more while the client waits.
    Stall,
    /// A success status with no body at all.
    Empty,
    /// An error in the dialect's own shape after half of a successful stream;
    /// as the whole body of a plain answer.
    StreamError,
    /// One event in the middle is cut off and is not JSON; a plain body ends in
    /// its middle.
    Malformed,
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "drop" => Self::Drop,
            "break" => Self::Break,
            "stall" => Self::Stall,
            "empty" => Self::Empty,
            "stream-error" => Self::StreamError,
            "malformed" => Self::Malformed,
            _ => return None,
        })
    }
}

/// The wishes of one request; `None` leaves it to the request body and the
/// server's configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Wishes {
    pub(crate) status: Option<u16>,
    pub(crate) fault: Option<Fault>,
    pub(crate) delay: Option<Duration>,
    pub(crate) prefill: Option<Duration>,
    pub(crate) token_interval: Option<Duration>,
    pub(crate) burst: Option<bool>,
    pub(crate) body_bytes: Option<u64>,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) cached_tokens: Option<u64>,
    pub(crate) cache_write_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) reasoning_tokens: Option<u64>,
    pub(crate) model: Option<String>,
    pub(crate) tool_call: Option<String>,
    pub(crate) timings: Option<bool>,
}

/// Most output tokens that one answer may have.
pub(crate) const MAX_OUTPUT_TOKENS: u64 = 1_000_000;

/// A wish that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("header x-simulate-{name}: {reason}")]
pub(crate) struct BadWish {
    name: String,
    reason: &'static str,
}

impl Wishes {
    /// Reads all wishes; an unknown name is an error, so that a misspelled one
    /// does not go unnoticed.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, BadWish> {
        let mut wishes = Self::default();
        for (name, value) in headers {
            if let Some(name) = name.as_str().strip_prefix("x-simulate-") {
                let value = value.to_str().unwrap_or_default();
                wishes.set(name, value).map_err(|reason| BadWish { name: name.into(), reason })?;
            }
        }
        Ok(wishes)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "status" => {
                let status = value.parse().ok().filter(|status| (200..=599).contains(status));
                self.status = Some(status.ok_or("must be a status from 200 to 599")?);
            }
            "fault" => {
                self.fault = Some(
                    Fault::parse(value)
                        .ok_or("must be drop, break, stall, empty, stream-error or malformed")?,
                );
            }
            "delay-ms" => self.delay = Some(milliseconds(value)?),
            "prefill-ms" => self.prefill = Some(milliseconds(value)?),
            "token-interval-ms" => self.token_interval = Some(milliseconds(value)?),
            "burst" => self.burst = Some(boolean(value)?),
            "body-bytes" => self.body_bytes = Some(count(value)?),
            "prompt-tokens" => self.prompt_tokens = Some(count(value)?),
            "cached-tokens" => self.cached_tokens = Some(count(value)?),
            "cache-write-tokens" => self.cache_write_tokens = Some(count(value)?),
            "output-tokens" => {
                let tokens = Some(count(value)?).filter(|tokens| *tokens <= MAX_OUTPUT_TOKENS);
                self.output_tokens = Some(tokens.ok_or("must be at most 1000000")?);
            }
            "reasoning-tokens" => self.reasoning_tokens = Some(count(value)?),
            "model" => self.model = Some(value.to_owned()),
            "tool-call" => self.tool_call = Some(value.to_owned()),
            "timings" => self.timings = Some(boolean(value)?),
            _ => return Err("there is no such wish"),
        }
        Ok(())
    }
}

fn count(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "must be a whole number of 0 or more")
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "must be true or false")
}

fn milliseconds(text: &str) -> Result<Duration, &'static str> {
    const HOUR: f64 = 3_600_000.0;
    match text.parse::<f64>() {
        Ok(value) if (0.0..=HOUR).contains(&value) => Ok(Duration::from_secs_f64(value / 1e3)),
        _ => Err("must be a number of milliseconds from 0 to 3600000"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(name: &'static str, value: &'static str) -> Result<Wishes, BadWish> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        Wishes::read(&headers)
    }

    #[test]
    fn wishes_are_read_and_other_headers_are_ignored() {
        assert_eq!(read("x-simulate-output-tokens", "7").unwrap().output_tokens, Some(7));
        assert_eq!(read("x-simulate-fault", "stall").unwrap().fault, Some(Fault::Stall));
        let wishes = read("x-simulate-token-interval-ms", "0.5").unwrap();
        assert_eq!(wishes.token_interval, Some(Duration::from_micros(500)));
        assert_eq!(read("authorization", "x").unwrap(), Wishes::default());
    }

    #[test]
    fn a_wish_that_cannot_be_understood_is_an_error_with_its_name() {
        for (name, value) in [
            ("x-simulate-status", "99"),
            ("x-simulate-fault", "maybe"),
            ("x-simulate-delay-ms", "-1"),
            ("x-simulate-output-tokens", "many"),
            ("x-simulate-outputtokens", "7"),
        ] {
            let error = read(name, value).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
