//! HTTP/1.1 by the byte, without any HTTP library: a client and an upstream that
//! keep exactly what came over the line, and the comparison of two messages.
//! Libraries forgive and repair; a test of transparency must not.

mod client;
mod comparison;
mod cut;
mod message;
mod reader;
mod recorded;
mod upstream;

pub use client::{RawClient, RawExchange};
pub use comparison::{Came, Comparison};
pub use cut::{Coding, chunked, cut, framed, seeded_random};
pub use message::{Field, Framing, RawMessage};
pub use reader::{MessageKind, RawReader};
pub use recorded::{Recording, recordings};
pub use upstream::{RawAnswer, RawUpstream};
