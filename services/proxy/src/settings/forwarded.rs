//! `X-Forwarded-*`: what the upstream is told of the client, if that is switched
//! on. Without it no header is added or removed.

use std::str::FromStr;

/// What is said of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeaders {
    /// Nothing.
    #[default]
    Off,
    /// The address is added to those that came; protocol and host are said if
    /// nobody said them before.
    Add,
    /// What came is dropped: nobody before modash is trusted.
    Replace,
}

impl FromStr for ForwardedHeaders {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "add" => Ok(Self::Add),
            "replace" => Ok(Self::Replace),
            _ => Err("must be \"off\", \"add\" or \"replace\""),
        }
    }
}
