//! The contract: generated messages and services, the descriptors that
//! reflection and JSON need, and the checked types behind loose wire fields.
//! Knows no service.

mod clean;
mod error_code;
mod event_id;
mod reason;
mod time_range;
mod usage_event;
mod violations;

pub use clean::{clean_text, storable};
pub use error_code::ErrorCode;
pub use event_id::{event_id, micros_of_event_id};
pub use reason::{ERROR_DOMAIN, Reason};
pub use time_range::TimeRange;
pub use usage_event::{
    InvalidEvent, MAX_EVENTS_PER_BATCH, duration_from_micros, is_trace_id, micros_from_duration,
    micros_from_timestamp, timestamp_from_micros,
};
pub use violations::Violations;

/// Messages and services of the package `modash.v1`, as `proto/generate` writes them.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::needless_pass_by_value,
    clippy::large_futures
)]
pub mod v1 {
    include!("../generated/modash.v1.rs");
}

/// The encoded `FileDescriptorSet` of the package, with its comments.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("../generated/descriptors.bin");
