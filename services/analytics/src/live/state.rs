//! The requests that run and the readers of their changes: every change goes
//! through `put` and `end`, which tell the readers and, if there are other
//! replicas of analytics, note it for them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use modash_proto::v1::{LiveRequest, Outcome, RequestPhase};
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

use super::{
    Commits,
    pending::{Pending, Topics},
};
use crate::filter::Filter;

/// How long a request counts as running after its proxy last named it.
const LEASE: Duration = Duration::from_secs(15);

/// Running requests that are kept at most; more are not shown.
const MAX_RUNNING: usize = 100_000;

/// How long an ended request cannot come back: reports of it may be late.
const ENDED_MEMORY: Duration = Duration::from_secs(30);

/// What runs, and who is told.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) running: HashMap<Uuid, Running>,
    pub(super) readers: HashMap<u64, Reader>,
    /// Newest states for the other replicas; `None` while there are none.
    pub(super) outbox: Option<HashMap<Uuid, LiveRequest>>,
    ended: HashSet<Uuid>,
    ended_order: VecDeque<(Instant, Uuid)>,
}

/// A running request.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) request: LiveRequest,
    source: Source,
}

/// Who reported a request last. It ends when its source is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A proxy, by a stream to this process.
    Proxy { replica_id: Arc<str>, lease_until: Instant },
    /// Another replica of analytics.
    Peer(Uuid),
}

impl Source {
    /// A proxy that reports now.
    pub(super) fn proxy(replica_id: &Arc<str>) -> Self {
        Self::Proxy { replica_id: Arc::clone(replica_id), lease_until: Instant::now() + LEASE }
    }
}

/// Somebody who is told of changes.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) filter: Filter,
    pub(super) topics: Topics,
    pub(super) pending: Pending,
    pub(super) wake: Arc<Notify>,
}

impl State {
    /// Takes the newest state of a request from a source.
    pub(super) fn put(&mut self, id: Uuid, request: LiveRequest, source: Source) {
        if request.phase == i32::from(RequestPhase::Ended) {
            if self.running.contains_key(&id) {
                self.end(id, &request, matches!(source, Source::Proxy { .. }));
            }
            return;
        }
        let is_new = !self.running.contains_key(&id);
        if self.ended.contains(&id) || (is_new && self.running.len() >= MAX_RUNNING) {
            return;
        }
        let from_proxy = matches!(source, Source::Proxy { .. });
        let before = self.running.insert(id, Running { request, source });
        let Self { running, readers, outbox, .. } = self;
        let request = &running[&id].request;
        let was_ours =
            before.as_ref().is_some_and(|before| matches!(before.source, Source::Proxy { .. }));
        let before = before.map(|running| running.request);
        let changed = before.as_ref() != Some(request);
        // A request that comes over from another replica is news to that one.
        if from_proxy
            && (changed || !was_ours)
            && let Some(outbox) = outbox
        {
            outbox.insert(id, request.clone());
        }
        // A snapshot repeats what is known.
        if changed {
            for reader in readers.values_mut() {
                reader.tell(id, before.as_ref(), request);
            }
        }
    }

    /// Ends a request with its last state; `publish`: the other replicas do not
    /// know yet.
    pub(super) fn end(&mut self, id: Uuid, last: &LiveRequest, publish: bool) {
        let before = self.running.remove(&id).map(|running| running.request);
        self.remember_ended(id);
        if publish && let Some(outbox) = &mut self.outbox {
            outbox.insert(id, last.clone());
        }
        for reader in self.readers.values_mut() {
            reader.tell(id, before.as_ref(), last);
        }
    }

    /// Ends the requests of a proxy that its snapshot does not name.
    pub(super) fn end_unnamed(&mut self, replica: &str, named: &HashSet<Uuid>) {
        self.end_where(true, |id, source| match source {
            Source::Proxy { replica_id, .. } => **replica_id == *replica && !named.contains(id),
            Source::Peer(_) => false,
        });
    }

    /// Ends what proxies have not named for too long.
    pub(super) fn end_expired(&mut self) {
        let now = Instant::now();
        self.end_where(true, |_, source| match source {
            Source::Proxy { lease_until, .. } => *lease_until <= now,
            Source::Peer(_) => false,
        });
        while let Some((at, id)) = self.ended_order.front().copied()
            && at + ENDED_MEMORY <= now
        {
            self.ended_order.pop_front();
            self.ended.remove(&id);
        }
    }

    /// Ends what replicas reported that are gone.
    pub(super) fn end_of_lost_peers(&mut self, alive: &HashSet<Uuid>) {
        self.end_where(false, |_, source| match source {
            Source::Proxy { .. } => false,
            Source::Peer(peer) => !alive.contains(peer),
        });
    }

    /// Requests that proxies report to this process.
    pub(super) fn own(&self) -> impl Iterator<Item = (Uuid, &LiveRequest)> {
        self.running
            .iter()
            .filter(|(_, running)| matches!(running.source, Source::Proxy { .. }))
            .map(|(id, running)| (*id, &running.request))
    }

    /// Keeps a request that ended from coming back.
    pub(super) fn remember_ended(&mut self, id: Uuid) {
        if self.ended.len() < MAX_RUNNING && self.ended.insert(id) {
            self.ended_order.push_back((Instant::now(), id));
        }
    }

    /// Ends requests of which no outcome is known.
    fn end_where(&mut self, publish: bool, ended: impl Fn(&Uuid, &Source) -> bool) {
        let ids: Vec<(Uuid, LiveRequest)> = self
            .running
            .iter()
            .filter(|(id, running)| ended(id, &running.source))
            .map(|(id, running)| (*id, without_outcome(&running.request)))
            .collect();
        for (id, last) in ids {
            self.end(id, &last, publish);
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

    /// Notes that requests were committed.
    pub(super) fn tell_commits(&mut self, commits: Commits) {
        if self.topics.usage
            && let Some(oldest) = commits.oldest_started_at
        {
            self.pending.add_usage(commits.requests, oldest);
            self.wake.notify_one();
        }
    }
}

fn without_outcome(request: &LiveRequest) -> LiveRequest {
    LiveRequest {
        phase: RequestPhase::Ended.into(),
        outcome: Outcome::Unspecified.into(),
        ..request.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_with(source: Source) -> (State, Uuid) {
        let mut state = State { outbox: Some(HashMap::new()), ..State::default() };
        let id = Uuid::now_v7();
        state.put(id, LiveRequest::default(), source);
        (state, id)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_its_proxy_no_longer_names_ends_after_15_seconds() {
        let (mut state, id) = state_with(Source::proxy(&"a".into()));
        tokio::time::advance(Duration::from_secs(14)).await;
        state.end_expired();
        assert!(state.running.contains_key(&id));
        tokio::time::advance(Duration::from_secs(1)).await;
        state.end_expired();
        assert!(state.running.is_empty());
        // A late report does not bring it back, until it is forgotten.
        state.put(id, LiveRequest::default(), Source::proxy(&"a".into()));
        assert!(state.running.is_empty());
        tokio::time::advance(ENDED_MEMORY).await;
        state.end_expired();
        assert!(state.ended.is_empty());
    }

    #[tokio::test]
    async fn what_a_peer_reports_is_not_told_to_peers_and_ends_with_it() {
        let peer = Uuid::now_v7();
        let (mut state, _) = state_with(Source::Peer(peer));
        state.end_of_lost_peers(&HashSet::from([peer]));
        assert_eq!(state.running.len(), 1);
        state.end_of_lost_peers(&HashSet::new());
        assert!(state.running.is_empty());
        assert_eq!(state.outbox, Some(HashMap::new()));
    }

    #[tokio::test]
    async fn a_request_whose_proxy_went_to_another_replica_is_no_longer_ours() {
        let (mut state, id) = state_with(Source::proxy(&"a".into()));
        let newer = LiveRequest { content_events: 9, ..LiveRequest::default() };
        state.put(id, newer.clone(), Source::Peer(Uuid::now_v7()));
        state.end_unnamed("a", &HashSet::new());
        assert_eq!(state.running[&id].request, newer);
        assert_eq!(state.own().count(), 0);
    }
}
