//! What runs now, as analytics is told: changes four times a second, everything
//! every few seconds, in as many messages as it takes.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use modash_proto::v1::{LiveRequest, LiveUpdate, SnapshotPart, UsageEvent};
use prost::Message as _;

use super::Emitter;
use crate::usage_event::ended;

/// How often changes are told.
pub(super) const UPDATE_EVERY: Duration = Duration::from_millis(250);

/// How often everything is told again.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);

/// Most running requests that are reported, and ended ones that wait to be.
const MAX_REQUESTS: usize = 100_000;
const MAX_ENDED: usize = 10_000;

/// Bytes of one message, far below the contract's 4 MiB.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Part of the time that looking at all requests may take: with 100,000 of them it
/// takes longer than the interval.
const BUSY_SHARE: u32 = 20;

/// Requests that ended since the last update.
#[derive(Default)]
pub(super) struct EndedRequests {
    requests: VecDeque<LiveRequest>,
}

impl EndedRequests {
    pub(super) fn note(&mut self, event: &UsageEvent) {
        if self.requests.len() == MAX_ENDED {
            self.requests.pop_front();
        }
        self.requests.push_back(ended(event));
    }
}

/// What one stream has told of running requests.
pub(super) struct LiveView {
    told: HashMap<String, Told>,
    snapshot_due: Instant,
    update_due: Instant,
    /// Messages that have not been sent.
    waiting: VecDeque<LiveUpdate>,
}

/// The part of a running request that changes.
#[derive(PartialEq, Eq)]
struct Told {
    phase: i32,
    content_events: u64,
    response_bytes: u64,
    model_known: bool,
}

impl LiveView {
    /// A new stream is told everything first.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { told: HashMap::new(), snapshot_due: now, update_due: now, waiting: VecDeque::new() }
    }

    /// Whether messages wait to be sent.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next message to send.
    pub(super) fn next(&mut self) -> Option<LiveUpdate> {
        self.waiting.pop_front()
    }

    /// Adds what changed since the last update to the messages that wait, unless
    /// some still do: changes are then told later, and newer.
    pub(super) fn update(&mut self, emitter: &Arc<Emitter>) {
        let now = Instant::now();
        if self.is_waiting() || now < self.update_due {
            return;
        }
        let snapshot = now >= self.snapshot_due;
        let mut running =
            emitter.cores.iter().flat_map(|core| core.in_flight()).filter_map(|exchange| {
                exchange.note_told();
                emitter.maker.live(&exchange)
            });
        let reported: Vec<LiveRequest> = running.by_ref().take(MAX_REQUESTS).collect();
        let is_complete = running.next().is_none();
        let mut told = HashMap::with_capacity(reported.len());
        let mut requests: Vec<LiveRequest> = emitter.ended().requests.drain(..).collect();
        for request in reported {
            let state = Told {
                phase: request.phase,
                content_events: request.content_events,
                response_bytes: request.response_bytes,
                model_known: request.model.is_some(),
            };
            let changed = self.told.get(&request.event_id) != Some(&state);
            told.insert(request.event_id.clone(), state);
            if changed || snapshot {
                requests.push(request);
            }
        }
        self.told = told;
        if snapshot {
            self.snapshot_due = now + SNAPSHOT_EVERY;
        }
        self.update_due = now + now.elapsed() * BUSY_SHARE;
        self.waiting = messages(requests, snapshot, is_complete);
    }
}

/// Messages that name the requests; a snapshot that is not complete ends nothing.
fn messages(requests: Vec<LiveRequest>, snapshot: bool, is_complete: bool) -> VecDeque<LiveUpdate> {
    let mut messages = VecDeque::new();
    let mut requests = requests.into_iter().peekable();
    while requests.peek().is_some() || (snapshot && messages.is_empty()) {
        let mut bytes = 0;
        let mut named = Vec::new();
        while let Some(request) = requests.next_if(|request| {
            bytes += request.encoded_len() + 8;
            named.is_empty() || bytes <= MAX_MESSAGE_BYTES
        }) {
            named.push(request);
        }
        messages.push_back(LiveUpdate { snapshot: false, requests: named, part: None });
    }
    if snapshot {
        let count = messages.len();
        for (index, message) in (0..).zip(&mut messages) {
            let last = is_complete && index as usize + 1 == count;
            // Older versions of analytics know a snapshot only as one message.
            message.snapshot = last && count == 1;
            message.part = if message.snapshot { None } else { Some(SnapshotPart { index, last }) };
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: usize) -> Vec<LiveRequest> {
        let request = LiveRequest { path: "x".repeat(1_000), ..LiveRequest::default() };
        vec![request; count]
    }

    fn parts(messages: &VecDeque<LiveUpdate>) -> Vec<(bool, Option<SnapshotPart>)> {
        messages.iter().map(|message| (message.snapshot, message.part)).collect()
    }

    #[test]
    fn a_large_snapshot_is_told_in_parts_of_which_the_last_says_that_it_is_complete() {
        let messages = messages(requests(2_500), true, true);
        let part = |index, last| (false, Some(SnapshotPart { index, last }));
        assert_eq!(parts(&messages), [part(0, false), part(1, false), part(2, true)]);
        assert!(messages.iter().all(|message| message.encoded_len() <= MAX_MESSAGE_BYTES + 16));
        assert_eq!(messages.iter().map(|message| message.requests.len()).sum::<usize>(), 2_500);
    }

    #[test]
    fn a_snapshot_of_one_message_is_what_older_versions_of_analytics_know() {
        assert_eq!(parts(&messages(requests(2), true, true)), [(true, None)]);
        assert_eq!(parts(&messages(Vec::new(), true, true)), [(true, None)]);
        assert_eq!(parts(&messages(Vec::new(), false, true)), []);
        assert_eq!(parts(&messages(requests(2), false, true)), [(false, None)]);
    }

    #[test]
    fn a_snapshot_that_leaves_requests_out_ends_none() {
        let part = Some(SnapshotPart { index: 0, last: false });
        assert_eq!(parts(&messages(requests(2), true, false)), [(false, part)]);
    }
}
