//! What runs now, as analytics is told: changes four times a second, everything
//! every few seconds.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use modash_proto::v1::{LiveRequest, LiveUpdate, UsageEvent};

use super::Emitter;
use crate::usage_event::ended;

/// How often changes are told.
pub(super) const UPDATE_EVERY: Duration = Duration::from_millis(250);

/// How often everything is told again.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);

/// Most requests in one update; the newest are left out.
const MAX_REQUESTS: usize = 10_000;

/// Requests that ended since the last update.
#[derive(Default)]
pub(super) struct EndedRequests {
    requests: VecDeque<LiveRequest>,
}

impl EndedRequests {
    pub(super) fn note(&mut self, event: &UsageEvent) {
        if self.requests.len() == MAX_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(ended(event));
    }
}

/// What one stream has told of running requests.
pub(super) struct LiveView {
    told: HashMap<String, Told>,
    snapshot_due: Instant,
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
        Self { told: HashMap::new(), snapshot_due: Instant::now() }
    }

    /// What changed since the last update; `None` if nothing did.
    pub(super) fn update(&mut self, emitter: &Arc<Emitter>) -> Option<LiveUpdate> {
        let now = Instant::now();
        let snapshot = now >= self.snapshot_due;
        let running: Vec<LiveRequest> = emitter
            .cores
            .iter()
            .flat_map(|core| core.in_flight())
            .filter_map(|exchange| {
                exchange.note_told();
                emitter.maker.live(&exchange)
            })
            .take(MAX_REQUESTS)
            .collect();
        let mut told = HashMap::with_capacity(running.len());
        let mut requests: Vec<LiveRequest> = emitter.ended().requests.drain(..).collect();
        for request in running {
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
        (snapshot || !requests.is_empty()).then_some(LiveUpdate { snapshot, requests })
    }
}
