//! The world around a service under test. Knows no service, and nothing under a
//! service's `src/` uses it.
//!
//! - [`TestDatabase`]: a database of one's own on a real PostgreSQL.
//! - [`FakeUpstream`]: an LLM server that answers from a script and records.
//! - [`Relay`]: a line that can be cut, stalled and slowed.
//! - [`raw`]: HTTP/1.1 by the byte, and the recorded exchanges on a line.
//! - [`event`]: usage events that can be stored as they are.
//! - [`OtlpReceiver`]: takes traces and metrics by OTLP.
//! - [`TokensFile`]: tokens that can be added and revoked.
//! - [`Authority`]: certificates, good and bad.
//! - [`eventually`]: patience for what happens soon, but not at once.

mod answer;
mod authority;
mod database;
mod event;
mod eventually;
mod gate;
mod otlp;
pub mod raw;
mod received;
mod relay;
mod tokens_file;
mod upstream;

pub use answer::Answer;
pub use authority::{Authority, Identity};
pub use database::TestDatabase;
pub use event::{another, as_sent, event, event_at, failed_event, stream_event};
pub use eventually::{Verdict, eventually};
pub use gate::Gate;
pub use otlp::{OtlpProtocol, OtlpReceiver, OtlpSpan};
pub use received::Received;
pub use relay::{Relay, Target};
pub use tokens_file::TokensFile;
pub use upstream::FakeUpstream;
