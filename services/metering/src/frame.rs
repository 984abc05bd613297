//! Framing: cuts a decoded body into events and hands their JSON to the reader,
//! piece by piece. No framing holds an event.

mod array;
mod aws;
mod lines;
mod sse;
mod websocket;

pub(crate) use array::Array;
pub(crate) use aws::Aws;
pub(crate) use lines::Lines;
pub(crate) use sse::Sse;
pub(crate) use websocket::WebSocket;
