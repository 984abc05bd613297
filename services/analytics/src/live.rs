//! What runs right now: the requests that the proxies report, until they end,
//! are committed, or are not heard of for 15 s; and the readers to whom every
//! change is told.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use modash_proto::{
    timestamp_from_micros,
    v1::{LiveRequest, LiveUpdate, Outcome, RequestPhase},
};
use prost::Message as _;
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{filter::Filter, store::Row};

mod pending;
mod subscription;

use pending::{Pending, Topics};

/// How long a request counts as running after its proxy last named it.
const LEASE: Duration = Duration::from_secs(15);

/// Running requests that are kept at most; more are not shown.
const MAX_RUNNING: usize = 100_000;

/// Longest running request, encoded, that is taken.
const MAX_REQUEST_BYTES: usize = 4 * 1024;

/// Largest snapshot: gRPC clients refuse messages of more than 4 MiB.
const MAX_SNAPSHOT_BYTES: usize = 3 * 1024 * 1024;

/// How long an ended request cannot come back: reports of it may be late.
const ENDED_MEMORY: Duration = Duration::from_secs(30);

/// The live view of this process.
#[derive(Debug)]
pub(crate) struct Live {
    state: Mutex<State>,
    next_reader: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    running: HashMap<Uuid, Running>,
    ended: HashSet<Uuid>,
    ended_order: VecDeque<(Instant, Uuid)>,
    readers: HashMap<u64, Reader>,
}

/// A running request.
#[derive(Debug)]
struct Running {
    request: LiveRequest,
    /// The proxy whose stream reported it.
    replica_id: Arc<str>,
    lease_until: Instant,
}

/// Somebody who is told of changes.
#[derive(Debug)]
struct Reader {
    filter: Filter,
    topics: Topics,
    pending: Pending,
    wake: Arc<Notify>,
}

impl Live {
    /// An empty view.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            next_reader: AtomicU64::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes a report of a proxy.
    pub(crate) fn update(&self, replica_id: &Arc<str>, update: LiveUpdate) {
        let now = Instant::now();
        let mut state = self.state();
        let mut named = HashSet::new();
        for request in update.requests {
            let Ok(id) = Uuid::try_parse(&request.event_id) else { continue };
            if request.encoded_len() > MAX_REQUEST_BYTES {
                continue;
            }
            named.insert(id);
            state.put(id, request, replica_id, now);
        }
        if update.snapshot {
            state.end_where(now, |id, running| {
                running.replica_id == *replica_id && !named.contains(id)
            });
        }
    }

    /// Takes what was committed: `new` are the ids of the rows that were not
    /// there before.
    pub(crate) fn committed(&self, rows: &[Row], new: &[Uuid]) {
        let now = Instant::now();
        let mut state = self.state();
        for row in rows {
            if let Some(running) = state.running.get(&row.id) {
                let ended = LiveRequest {
                    phase: RequestPhase::Ended.into(),
                    outcome: row.event.outcome,
                    model: row.event.model.clone().or_else(|| running.request.model.clone()),
                    content_events: row.event.content_events,
                    response_bytes: row.event.response_bytes,
                    ..running.request.clone()
                };
                state.end(row.id, &ended, now);
            } else {
                state.remember_ended(row.id, now);
            }
        }
        let new: HashSet<&Uuid> = new.iter().collect();
        for reader in state.readers.values_mut().filter(|reader| reader.topics.usage) {
            let rows = rows.iter().filter(|row| new.contains(&row.id) && reader.filter.passes(row));
            let (count, oldest) = rows.fold((0, None), |(count, oldest), row| {
                let started_at = row.started_at.timestamp_micros();
                (count + 1, Some(oldest.map_or(started_at, |oldest: i64| oldest.min(started_at))))
            });
            if let Some(oldest) = oldest {
                reader.pending.add_usage(count, oldest);
                reader.wake.notify_one();
            }
        }
    }

    /// Ends what was not heard of for too long.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        let mut state = self.state();
        state.end_where(now, |_, running| running.lease_until <= now);
        while let Some((at, id)) = state.ended_order.front().copied()
            && at + ENDED_MEMORY <= now
        {
            state.ended_order.pop_front();
            state.ended.remove(&id);
        }
    }

    /// How many running requests pass a filter.
    pub(crate) fn in_flight(&self, filter: &Filter) -> u64 {
        let state = self.state();
        state.running.values().filter(|running| filter.passes_live(&running.request)).count() as u64
    }

    /// Ends all subscriptions and refuses new ones.
    pub(crate) async fn end_subscriptions(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn add_reader(&self, filter: Filter, topics: Topics, wake: Arc<Notify>) -> u64 {
        let id = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let reader = Reader { filter, topics, pending: Pending::default(), wake };
        self.state().readers.insert(id, reader);
        id
    }

    fn remove_reader(&self, id: u64) {
        self.state().readers.remove(&id);
    }

    fn readers(&self) -> usize {
        self.state().readers.len()
    }

    /// What a reader was not told yet.
    fn take_pending(&self, reader: u64) -> Pending {
        let mut state = self.state();
        state
            .readers
            .get_mut(&reader)
            .map(|reader| std::mem::take(&mut reader.pending))
            .unwrap_or_default()
    }

    /// All running requests that a reader wants to see, newest first; what it was
    /// not told yet is in it, and comes back.
    fn snapshot(&self, reader: u64) -> (Vec<LiveRequest>, Pending) {
        let mut state = self.state();
        let State { running, readers, .. } = &mut *state;
        let Some(reader) = readers.get_mut(&reader) else { return Default::default() };
        let pending = std::mem::take(&mut reader.pending);
        if !reader.topics.request_state {
            return (Vec::new(), pending);
        }
        let mut requests: Vec<&LiveRequest> = running
            .values()
            .map(|running| &running.request)
            .filter(|request| reader.filter.passes_live(request))
            .collect();
        requests.sort_unstable_by(|a, b| b.event_id.cmp(&a.event_id));
        let mut bytes = 0;
        let fitting = requests.into_iter().take_while(|request| {
            bytes += request.encoded_len() + 8;
            bytes <= MAX_SNAPSHOT_BYTES
        });
        (fitting.cloned().collect(), pending)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, id: Uuid, request: LiveRequest, replica_id: &Arc<str>, now: Instant) {
        if request.phase == i32::from(RequestPhase::Ended) {
            if self.running.contains_key(&id) {
                self.end(id, &request, now);
            }
            return;
        }
        let is_new = !self.running.contains_key(&id);
        if self.ended.contains(&id) || (is_new && self.running.len() >= MAX_RUNNING) {
            return;
        }
        let lease_until = now + LEASE;
        let running = Running { request, replica_id: Arc::clone(replica_id), lease_until };
        let before = self.running.insert(id, running).map(|running| running.request);
        let State { running, readers, .. } = self;
        let request = &running[&id].request;
        // A snapshot repeats what is known.
        if before.as_ref() == Some(request) {
            return;
        }
        for reader in readers.values_mut() {
            reader.tell(id, before.as_ref(), request);
        }
    }

    /// Ends a request with its last state.
    fn end(&mut self, id: Uuid, last: &LiveRequest, now: Instant) {
        let before = self.running.remove(&id).map(|running| running.request);
        self.remember_ended(id, now);
        for reader in self.readers.values_mut() {
            reader.tell(id, before.as_ref(), last);
        }
    }

    /// Ends requests of which no outcome is known.
    fn end_where(&mut self, now: Instant, ended: impl Fn(&Uuid, &Running) -> bool) {
        let ids: Vec<Uuid> = self
            .running
            .iter()
            .filter(|(id, running)| ended(id, running))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            if let Some(running) = self.running.get(&id) {
                let last = without_outcome(&running.request);
                self.end(id, &last, now);
            }
        }
    }

    fn remember_ended(&mut self, id: Uuid, now: Instant) {
        if self.ended.len() < MAX_RUNNING && self.ended.insert(id) {
            self.ended_order.push_back((now, id));
        }
    }
}

impl Reader {
    /// Notes the newest state of a request, if this reader is to see it. One that
    /// no longer passes the filter has ended for this reader.
    fn tell(&mut self, id: Uuid, before: Option<&LiveRequest>, now: &LiveRequest) {
        if !self.topics.request_state {
            return;
        }
        let told = if self.filter.passes_live(now) {
            now.clone()
        } else if before.is_some_and(|before| self.filter.passes_live(before)) {
            without_outcome(now)
        } else {
            return;
        };
        self.pending.add_request(id, told);
        self.wake.notify_one();
    }
}

fn without_outcome(request: &LiveRequest) -> LiveRequest {
    LiveRequest {
        phase: RequestPhase::Ended.into(),
        outcome: Outcome::Unspecified.into(),
        ..request.clone()
    }
}

/// The server's time, for the wire.
fn wire_now() -> Option<prost_types::Timestamp> {
    Some(timestamp_from_micros(chrono::Utc::now().timestamp_micros()))
}
