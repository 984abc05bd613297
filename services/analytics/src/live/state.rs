//! The requests that run and the audiences of their changes: every change goes
//! through `put` and `end`, which tell the audiences and, if there are other
//! replicas of analytics, note it for them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use modash_proto::v1::{LiveRequest, Outcome, RequestPhase};
use tokio::time::Instant;
use uuid::Uuid;

use super::audience::Audiences;

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
    pub(super) audiences: Audiences,
    /// Newest states for the other replicas; `None` while there are none.
    pub(super) outbox: Option<HashMap<Uuid, LiveRequest>>,
    /// Until when each of the other replicas counts as alive.
    peers: HashMap<Uuid, Instant>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A proxy, by a stream to this process. Not by its replica id, which two
    /// processes share while one hands over to the other.
    Stream { stream: u64, lease_until: Instant },
    /// Another replica of analytics.
    Peer(Uuid),
}

impl Source {
    /// A stream that reports now.
    pub(super) fn stream(stream: u64) -> Self {
        Self::Stream { stream, lease_until: Instant::now() + LEASE }
    }

    fn is_stream(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }
}

impl State {
    /// Takes the newest state of a request from a source.
    pub(super) fn put(&mut self, id: Uuid, request: LiveRequest, source: Source) {
        if request.phase == i32::from(RequestPhase::Ended) {
            if self.running.contains_key(&id) {
                self.end(id, &request, source.is_stream());
            }
            return;
        }
        let is_new = !self.running.contains_key(&id);
        if self.ended.contains(&id) || (is_new && self.running.len() >= MAX_RUNNING) {
            return;
        }
        let is_ours = source.is_stream();
        let before = self.running.insert(id, Running { request, source });
        let Self { running, audiences, outbox, .. } = self;
        let request = &running[&id].request;
        let was_ours = before.as_ref().is_some_and(|before| before.source.is_stream());
        let before = before.map(|running| running.request);
        let changed = before.as_ref() != Some(request);
        // A request that comes over from another replica is news to that one.
        if is_ours
            && (changed || !was_ours)
            && let Some(outbox) = outbox
        {
            outbox.insert(id, request.clone());
        }
        // A snapshot repeats what is known.
        if changed {
            audiences.tell(id, before.as_ref(), request);
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
        self.audiences.tell(id, before.as_ref(), last);
    }

    /// Ends the requests of a stream that its snapshot does not name.
    pub(super) fn end_unnamed(&mut self, of: u64, named: &HashSet<Uuid>) {
        self.end_where(|id, source| match source {
            Source::Stream { stream, .. } => *stream == of && !named.contains(id),
            Source::Peer(_) => false,
        });
    }

    /// Ends what no stream has named for too long, and forgets what replicas
    /// reported that were not heard of for too long.
    pub(super) fn end_expired(&mut self) {
        let now = Instant::now();
        self.end_where(|_, source| match source {
            Source::Stream { lease_until, .. } => *lease_until <= now,
            Source::Peer(_) => false,
        });
        while let Some((at, id)) = self.ended_order.front().copied()
            && at + ENDED_MEMORY <= now
        {
            self.ended_order.pop_front();
            self.ended.remove(&id);
        }
        let known = self.peers.len();
        self.peers.retain(|_, lease_until| *lease_until > now);
        if self.peers.len() < known {
            self.forget_lost_peers();
        }
    }

    /// A replica gave a sign of life.
    pub(super) fn extend_peer_lease(&mut self, peer: Uuid) {
        self.peers.insert(peer, Instant::now() + LEASE);
    }

    /// These replicas are alive, and no others.
    pub(super) fn keep_peers(&mut self, alive: &HashSet<Uuid>) {
        self.peers.retain(|peer, _| alive.contains(peer));
        alive.iter().for_each(|peer| self.extend_peer_lease(*peer));
        self.forget_lost_peers();
    }

    /// For readers their requests have ended. They may come back: while the
    /// database is away, nothing is heard of a replica that is alive.
    fn forget_lost_peers(&mut self) {
        let Self { running, audiences, peers, .. } = self;
        running.retain(|id, running| {
            let lost = match &running.source {
                Source::Peer(peer) => !peers.contains_key(peer),
                Source::Stream { .. } => false,
            };
            if lost {
                let last = without_outcome(&running.request);
                audiences.tell(*id, Some(&running.request), &last);
            }
            !lost
        });
    }

    /// Requests that proxies report to this process.
    pub(super) fn own(&self) -> impl Iterator<Item = (Uuid, &LiveRequest)> {
        self.running
            .iter()
            .filter(|(_, running)| running.source.is_stream())
            .map(|(id, running)| (*id, &running.request))
    }

    /// Keeps a request that ended from coming back.
    pub(super) fn remember_ended(&mut self, id: Uuid) {
        if self.ended.len() < MAX_RUNNING && self.ended.insert(id) {
            self.ended_order.push_back((Instant::now(), id));
        }
    }

    /// Ends requests of streams of which no outcome is known.
    fn end_where(&mut self, ended: impl Fn(&Uuid, &Source) -> bool) {
        let ids: Vec<(Uuid, LiveRequest)> = self
            .running
            .iter()
            .filter(|(id, running)| ended(id, &running.source))
            .map(|(id, running)| (*id, without_outcome(&running.request)))
            .collect();
        for (id, last) in ids {
            self.end(id, &last, true);
        }
    }
}

/// The last state of a request of which no outcome is known.
pub(super) fn without_outcome(request: &LiveRequest) -> LiveRequest {
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
        let (mut state, id) = state_with(Source::stream(1));
        tokio::time::advance(Duration::from_secs(14)).await;
        state.end_expired();
        assert!(state.running.contains_key(&id));
        tokio::time::advance(Duration::from_secs(1)).await;
        state.end_expired();
        assert!(state.running.is_empty());
        // A late report does not bring it back, until it is forgotten.
        state.put(id, LiveRequest::default(), Source::stream(1));
        assert!(state.running.is_empty());
        tokio::time::advance(ENDED_MEMORY).await;
        state.end_expired();
        assert!(state.ended.is_empty());
    }

    #[tokio::test]
    async fn what_a_peer_reports_is_not_told_to_peers_and_ends_with_it() {
        let peer = Uuid::now_v7();
        let (mut state, _) = state_with(Source::Peer(peer));
        state.keep_peers(&HashSet::from([peer]));
        assert_eq!(state.running.len(), 1);
        state.keep_peers(&HashSet::new());
        assert!(state.running.is_empty());
        assert_eq!(state.outbox, Some(HashMap::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_peer_reports_ends_15_seconds_after_its_last_sign_and_may_come_back() {
        let peer = Uuid::now_v7();
        let (mut state, id) = state_with(Source::Peer(peer));
        state.extend_peer_lease(peer);
        tokio::time::advance(Duration::from_secs(14)).await;
        state.end_expired();
        assert!(state.running.contains_key(&id));
        tokio::time::advance(Duration::from_secs(1)).await;
        state.end_expired();
        assert!(state.running.is_empty());
        state.put(id, LiveRequest::default(), Source::Peer(peer));
        assert!(state.running.contains_key(&id), "the database is back, and the peer with it");
    }

    #[tokio::test]
    async fn a_snapshot_ends_no_request_of_another_stream_of_the_same_replica() {
        let (mut state, id) = state_with(Source::stream(1));
        state.end_unnamed(2, &HashSet::new());
        assert!(state.running.contains_key(&id));
        state.end_unnamed(1, &HashSet::new());
        assert!(state.running.is_empty());
    }

    #[tokio::test]
    async fn a_request_whose_proxy_went_to_another_replica_is_no_longer_ours() {
        let (mut state, id) = state_with(Source::stream(1));
        let newer = LiveRequest { content_events: 9, ..LiveRequest::default() };
        state.put(id, newer.clone(), Source::Peer(Uuid::now_v7()));
        state.end_unnamed(1, &HashSet::new());
        assert_eq!(state.running[&id].request, newer);
        assert_eq!(state.own().count(), 0);
    }
}
