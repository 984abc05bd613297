//! What one stream has still to send: changes wait here until it is their
//! turn, and later ones are folded into those that wait.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{
    frame::Frame,
    live::Live,
    log::{Change, Event},
};

/// Least time between two `usage-updated` of one stream.
const USAGE_INTERVAL: Duration = Duration::from_millis(500);
/// Least time between two `request-state-updated` of one stream.
const REQUESTS_INTERVAL: Duration = Duration::from_millis(250);
/// Most requests in one event.
pub(crate) const MOST_REQUESTS: usize = 200;

/// The changes of one stream that wait.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    usage: Option<Usage>,
    requests: Option<Requests>,
    usage_sent: Option<Instant>,
    requests_sent: Option<Instant>,
    /// Numbers of a stream never go back, though an older change may have
    /// waited longer.
    last_seq: u64,
}

#[derive(Debug, Default)]
struct Usage {
    seq: u64,
    now: u64,
    requests: Option<u64>,
    oldest_started_at: Option<f64>,
}

#[derive(Debug, Default)]
struct Requests {
    seq: u64,
    now: u64,
    newest: BTreeMap<Arc<str>, Live>,
    truncated: bool,
    snapshot: bool,
    live: Option<bool>,
}

impl Fold {
    /// Nothing waits; the client has seen up to number `seq`.
    pub(crate) fn new(seq: u64) -> Self {
        Self { last_seq: seq, ..Self::default() }
    }

    /// Adds a change to those that wait.
    pub(crate) fn add(&mut self, event: &Event) {
        match &event.change {
            Change::Usage { requests, oldest_started_at } => {
                let first = self.usage.is_none();
                let usage = self.usage.get_or_insert_default();
                usage.seq = event.seq;
                usage.now = event.now;
                // One unknown number makes the sum unknown.
                if first {
                    usage.requests = *requests;
                    usage.oldest_started_at = *oldest_started_at;
                } else {
                    usage.requests = usage.requests.zip(*requests).map(|(sum, more)| sum + more);
                    usage.oldest_started_at = usage
                        .oldest_started_at
                        .zip(*oldest_started_at)
                        .map(|(oldest, other)| oldest.min(other));
                }
            }
            Change::Requests { requests, truncated, snapshot, live } => {
                let waiting = self.requests.get_or_insert_default();
                waiting.seq = event.seq;
                waiting.now = event.now;
                waiting.truncated |= truncated;
                waiting.live = live.or(waiting.live);
                if *snapshot {
                    // What was running before runs no more, unless it is here.
                    waiting.newest.retain(|_, live| live.ended);
                    waiting.snapshot = true;
                }
                for live in requests {
                    let known = waiting.newest.contains_key(&live.id);
                    if known || waiting.newest.len() < MOST_REQUESTS {
                        waiting.newest.insert(live.id.clone(), live.clone());
                    } else {
                        waiting.truncated = true;
                    }
                }
            }
        }
    }

    /// When the next change may be sent; `None` if none waits.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = |waits: bool, sent: Option<Instant>, interval| {
            waits.then(|| sent.map_or_else(Instant::now, |sent| sent + interval))
        };
        let usage = due(self.usage.is_some(), self.usage_sent, USAGE_INTERVAL);
        let requests = due(self.requests.is_some(), self.requests_sent, REQUESTS_INTERVAL);
        usage.into_iter().chain(requests).min()
    }

    /// Takes what may be sent now, in the order of the numbers.
    pub(crate) fn take(&mut self, instance: &str, now: Instant) -> Vec<Frame> {
        let is_due =
            |sent: Option<Instant>, interval| sent.is_none_or(|sent| now >= sent + interval);
        let usage = self.usage.take_if(|_| is_due(self.usage_sent, USAGE_INTERVAL));
        let requests = self.requests.take_if(|_| is_due(self.requests_sent, REQUESTS_INTERVAL));
        let usage_first = match (&usage, &requests) {
            (Some(usage), Some(requests)) => usage.seq < requests.seq,
            _ => true,
        };
        let mut frames = Vec::new();
        if let (Some(usage), true) = (&usage, usage_first) {
            frames.extend(self.usage_frame(instance, usage, now));
        }
        if let Some(requests) = &requests {
            frames.extend(self.requests_frame(instance, requests, now));
        }
        if let (Some(usage), false) = (&usage, usage_first) {
            frames.extend(self.usage_frame(instance, usage, now));
        }
        frames
    }

    fn usage_frame(&mut self, instance: &str, usage: &Usage, now: Instant) -> Option<Frame> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            seq: u64,
            now: u64,
            requests: Option<u64>,
            oldest_started_at: Option<f64>,
        }
        self.usage_sent = Some(now);
        self.last_seq = self.last_seq.max(usage.seq);
        let data = Data {
            seq: self.last_seq,
            now: usage.now,
            requests: usage.requests,
            oldest_started_at: usage.oldest_started_at,
        };
        Frame::event("usage-updated", instance, self.last_seq, &data)
    }

    fn requests_frame(
        &mut self,
        instance: &str,
        changed: &Requests,
        now: Instant,
    ) -> Option<Frame> {
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
        self.requests_sent = Some(now);
        self.last_seq = self.last_seq.max(changed.seq);
        let data = Data {
            seq: self.last_seq,
            now: changed.now,
            requests: changed.newest.values().map(|live| &*live.json).collect(),
            truncated: changed.truncated,
            snapshot: changed.snapshot && !changed.truncated,
            live: changed.live,
        };
        Frame::event("request-state-updated", instance, self.last_seq, &data)
    }
}
