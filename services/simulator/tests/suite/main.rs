//! The simulator as its users see it: over the wire.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod common;
mod dialects;
mod faults;
mod limits;
mod load;
mod traffic;
