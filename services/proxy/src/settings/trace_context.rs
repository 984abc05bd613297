//! What upstreams get of a trace, where traces are exported.

use std::str::FromStr;

/// Which span becomes the parent of the upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TraceContextMode {
    /// The client's: its headers pass unchanged, and none are added.
    #[default]
    Pass,
    /// That of modash's call, if the request is sampled.
    Child,
}

impl FromStr for TraceContextMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pass" => Ok(Self::Pass),
            "child" => Ok(Self::Child),
            _ => Err("must be \"pass\" or \"child\""),
        }
    }
}
