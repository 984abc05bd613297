//! Reads model, usage, timing and outcome of an exchange with an LLM server from
//! a copy of its bytes. No IO, no clock, no threads: bytes and times go in, a
//! `Reading` comes out. Memory is bounded whatever the bytes are, and results do
//! not depend on how they are cut into pieces.

mod calibration;
mod decode;
mod dialect;
mod dialects;
mod echo;
mod error;
mod frame;
mod head;
pub mod inject;
mod json;
mod limits;
mod meter;
mod purpose;
mod rate_limit;
mod reader;
mod reading;
mod record;
mod request;
mod response;
mod speed;
mod target;
mod usage;
mod verdict;
mod who;
mod wire;

pub use calibration::Calibration;
pub use dialect::{Dialect, Operation};
pub use head::{Head, HeaderLine, Headers};
pub use limits::Limits;
pub use meter::Meter;
pub use rate_limit::{RateLimit, RateLimitKind, RateLimits, When};
pub use reading::{BodyEnd, Outcome, Reading, RealtimeResponse, SpeedSource, Tokens, UsageSource};
