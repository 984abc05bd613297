//! Traces and metrics by OTLP, switched on and set up by the standard variables of
//! OpenTelemetry (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//! Without an endpoint nothing is started.
//!
//! Spans go into a bounded queue, and a thread of its own exports them. The SDK's batch
//! processor is not used because it does not say how many spans it dropped. Nobody ever
//! waits for the collector: what finds no room or is not taken is counted.

mod client;
mod context;
mod durations;
mod environment;
mod export;
mod exporters;
mod propagation;
mod queue;
mod sampler;
pub mod semconv;
mod watched;

pub use context::{ContextHeaders, TraceContext};
pub use durations::Work;
pub use environment::Environment;
pub use export::{ExportCounts, StartError, Telemetry};
pub use propagation::{
    continue_from, continue_trace, current_ids, inject, link, span_layer, traces,
};
pub use queue::{SpanCounts, SpanQueue};
pub use sampler::Sampler;
pub use watched::MetricCounts;

pub use opentelemetry;
pub use opentelemetry_sdk;
