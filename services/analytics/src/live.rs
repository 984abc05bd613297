//! What runs right now: the requests that the proxies report, until they end,
//! are committed, or are not heard of for 15 s; and the readers to whom every
//! change is told.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize},
    },
};

use modash_proto::{
    timestamp_from_micros,
    v1::{LiveRequest, RequestPhase},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    filter::{Facts, Filter},
    store::Row,
};

mod audience;
mod cluster;
mod index;
mod mailbox;
mod pending;
mod reporter;
mod state;
mod subscription;

pub(crate) use cluster::Cluster;
pub(crate) use subscription::{MAX_SUBSCRIPTIONS, Subscription};

use pending::Topics;
use state::{Running, Source, State};

/// The live view of this process.
#[derive(Debug)]
pub(crate) struct Live {
    state: Mutex<State>,
    /// Commits of this process that the other replicas were not told of.
    committed: Mutex<Commits>,
    next_reader: AtomicU64,
    next_stream: AtomicU64,
    /// Bytes that wait for readers.
    waiting_bytes: Arc<AtomicUsize>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Requests that were committed, and the earliest start among them in
/// microseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Commits {
    requests: u64,
    oldest_started_at: Option<i64>,
}

impl Commits {
    /// Those of some rows.
    fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        rows.fold(Self::default(), |sum, row| {
            let started_at = row.started_at.timestamp_micros();
            sum.and(Self { requests: 1, oldest_started_at: Some(started_at) })
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            oldest_started_at: match (self.oldest_started_at, other.oldest_started_at) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
        }
    }
}

impl Live {
    /// An empty view.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            committed: Mutex::default(),
            next_reader: AtomicU64::default(),
            next_stream: AtomicU64::default(),
            waiting_bytes: Arc::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes what was committed: `new` are the ids of the rows that were not
    /// there before.
    pub(crate) fn committed(&self, rows: &[Row], new: &[Uuid]) {
        let mut state = self.state();
        for row in rows {
            match state.running.get(&row.id) {
                Some(running) => {
                    let ended = ended_as(row, &running.request);
                    state.end(row.id, &ended, true);
                }
                None => state.remember_ended(row.id),
            }
        }
        let new: HashSet<&Uuid> = new.iter().collect();
        let new_rows = || rows.iter().filter(|row| new.contains(&row.id));
        state.audiences.tell_rows(new_rows());
        if state.outbox.is_some() {
            let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
            *committed = committed.and(Commits::of(new_rows()));
        }
    }

    /// Ends what was not heard of for too long.
    pub(crate) fn expire(&self) {
        self.state().end_expired();
    }

    /// How many running requests pass a filter.
    pub(crate) fn in_flight(&self, filter: &Filter) -> u64 {
        let state = self.state();
        let passing = |running: &&Running| filter.passes(&Facts::of_live(&running.request));
        state.running.values().filter(passing).count() as u64
    }

    /// Ends all subscriptions and refuses new ones.
    pub(crate) async fn end_subscriptions(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the other replicas are told and tell.
impl Live {
    /// There are other replicas: from now on changes are noted for them,
    /// beginning with all that runs here. `false`: there are none.
    fn publish(&self, publish: bool) {
        let mut state = self.state();
        state.outbox =
            publish.then(|| state.own().map(|(id, request)| (id, request.clone())).collect());
    }

    fn publishes(&self) -> bool {
        self.state().outbox.is_some()
    }

    /// What the other replicas were not told yet.
    fn take_outbox(&self) -> (HashMap<Uuid, LiveRequest>, Commits) {
        let requests = self.state().outbox.as_mut().map(std::mem::take).unwrap_or_default();
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        (requests, std::mem::take(&mut *committed))
    }

    /// Takes what another replica reports.
    fn update_from_peer(&self, peer: Uuid, requests: Vec<(Uuid, LiveRequest)>) {
        let mut state = self.state();
        state.extend_peer_lease(peer);
        for (id, request) in requests {
            state.put(id, request, Source::Peer(peer));
        }
    }

    /// Takes what another replica committed. Which filters it passes is not
    /// known: every reader of usage is told, rather once too often.
    fn committed_by_peer(&self, commits: Commits) {
        self.state().audiences.tell_commits(commits);
    }

    /// Ends what replicas reported that are gone.
    fn keep_peers(&self, alive: &HashSet<Uuid>) {
        self.state().keep_peers(alive);
    }
}

/// The last state of a running request, from what was committed of it.
fn ended_as(row: &Row, running: &LiveRequest) -> LiveRequest {
    LiveRequest {
        phase: RequestPhase::Ended.into(),
        outcome: row.event.outcome,
        model: row.event.model.clone().or_else(|| running.model.clone()),
        content_events: row.event.content_events,
        response_bytes: row.event.response_bytes,
        ..running.clone()
    }
}

/// The server's time, for the wire.
fn wire_now() -> Option<prost_types::Timestamp> {
    Some(timestamp_from_micros(chrono::Utc::now().timestamp_micros()))
}
