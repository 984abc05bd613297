//! HTTP/1.1 as bytes (RFC 9112): where a head ends, what it says, what of it goes
//! on, and where its body ends. Bytes in, positions and verdicts out: no IO, no
//! clock, no async, and no allocation for each message.
//!
//! A message is relayed in four steps:
//!
//! 1. [`HeadScan`] finds the end of the head; it continues where it stopped when
//!    more bytes come.
//! 2. [`RequestHead::read`] or [`ResponseHead::read`] judges the head strictly.
//!    What two servers may read in two ways is a [`Fault`].
//! 3. [`RequestHead::write`] or [`ResponseHead::write`] appends the head as it
//!    goes on: every line as it came, without those of one hop.
//! 4. [`Body`] follows the framing. The raw bytes pass unchanged; the data in them
//!    is shown as ranges, without a copy.

mod answer;
mod body;
mod chunks;
mod fault;
mod lines;
mod options;
mod preface;
mod request;
mod response;
mod scan;

pub use answer::{Answer, error_body};
pub use body::{Body, Framing, Part};
pub use fault::Fault;
pub use lines::{Field, Line, Lines, Span};
pub use options::HopLines;
pub use preface::{Preface, preface};
pub use request::{RequestChanges, RequestHead, TargetForm};
pub use response::{ResponseChanges, ResponseHead};
pub use scan::HeadScan;

/// Longest request line in bytes, its line end included.
pub const MAX_REQUEST_LINE: usize = 32 * 1024;

/// Longest head in bytes, the empty line at its end included: a header of 64 KiB and
/// the usual others.
pub const MAX_HEAD: usize = 80 * 1024;

/// Header lines that a head may have.
pub const MAX_LINES: usize = 100;

/// Version of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunks, no interim responses, one request for a connection
    /// unless both sides say `keep-alive`.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}
