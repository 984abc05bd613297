//! A simulated LLM server of several dialects, a gentle stream of varied
//! traffic, and a load generator: for the demo, the tests and the benchmarks.
//! Speaks the public wire formats only; knows nothing of what stands between
//! client and server.
//!
//! A prompt has as many tokens as words, an answer as many words as tokens, so
//! that the usage of every exchange can be computed beforehand. Headers
//! `x-simulate-*` steer an answer through any proxy: `status`, `fault`
//! (`drop`, `break`, `stall`, `empty`, `stream-error`, `malformed`), `delay-ms`,
//! `prefill-ms`, `token-interval-ms`, `burst`, `body-bytes`, `prompt-tokens`,
//! `cached-tokens`, `cache-write-tokens`, `output-tokens`, `reasoning-tokens`,
//! `model`, `tool-call`, `timings`.

mod answer;
mod body;
mod cli;
mod dialect;
mod limits;
mod load;
mod server;
mod stats;
mod tokens;
mod traffic;
mod transcript;
mod turn;
mod wire;
mod wishes;

pub use cli::run as run_command;
pub use load::{
    Arrival, Check, Failures, Latency, LoadError, LoadPlan, LoadReport, ProcessUse, Processes,
    Progress,
};
pub use server::{Simulator, SimulatorConfig, SimulatorError};
pub use stats::{ModelTotals, Snapshot, Stats};
pub use traffic::{Traffic, TrafficConfig, TrafficError};
pub use turn::Pace;
