//! Access over the real system: one process with tokens, as one team runs it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod attacks;
mod browser;
mod doors;
mod leaks;
mod matrix;
mod metrics;
mod same_numbers;
mod sso;
mod system;
mod wire;
