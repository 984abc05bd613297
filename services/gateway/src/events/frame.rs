//! Server-sent events as bytes.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::fold::{Requests, Told, Usage};

/// Bytes of one event or comment, or of one message of `Subscribe`.
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

    /// What a stream of this instance has to tell.
    pub(crate) fn told(instance: &str, told: &Told) -> Option<Self> {
        match told {
            Told::Usage(usage) => Self::usage_updated(instance, usage),
            Told::Requests(requests) => Self::requests_updated(instance, requests),
        }
    }

    fn usage_updated(instance: &str, usage: &Usage) -> Option<Self> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            seq: u64,
            now: u64,
            requests: Option<u64>,
            oldest_started_at: Option<f64>,
        }
        let Usage { seq, now, requests, oldest_started_at } = *usage;
        let data = Data { seq, now, requests, oldest_started_at };
        Self::event("usage-updated", instance, seq, &data)
    }

    fn requests_updated(instance: &str, changed: &Requests) -> Option<Self> {
        #[derive(Serialize)]
        struct Data<'a> {
            seq: u64,
            now: u64,
            requests: Vec<&'a RawValue>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            truncated: bool,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            snapshot: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            live: Option<bool>,
        }
        let data = Data {
            seq: changed.seq,
            now: changed.now,
            requests: changed.newest.values().map(|live| &*live.json).collect(),
            truncated: changed.truncated,
            snapshot: changed.snapshot && !changed.truncated,
            live: changed.live,
        };
        Self::event("request-state-updated", instance, changed.seq, &data)
    }

    /// Both as one, which a client gets whole or not at all.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self([self.0, other.0.clone()].concat().into())
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
