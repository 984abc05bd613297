//! Server-sent events as bytes.

use bytes::Bytes;
use serde::Serialize;

/// Bytes of one event or comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame(pub(crate) Bytes);

impl Frame {
    /// An event with an id and one line of JSON; `None` if the data has no JSON
    /// form, which none of ours lacks.
    pub(crate) fn event(
        name: &str,
        instance: &str,
        seq: u64,
        data: &impl Serialize,
    ) -> Option<Self> {
        let data = serde_json::to_string(data).ok()?;
        let text = format!("id: {instance}-{seq}\nevent: {name}\ndata: {data}\n\n");
        Some(Self(text.into()))
    }

    /// Tells a browser how soon to come back after the stream ended.
    pub(crate) fn retry() -> Self {
        Self(Bytes::from_static(b"retry: 2000\n\n"))
    }

    /// Shows that the stream is alive, to everything but the page.
    pub(crate) fn heartbeat() -> Self {
        Self(Bytes::from_static(b": hb\n\n"))
    }
}
