//! Who is told of changes. Readers with the same filter and topics form one
//! audience: a change is compared, folded and encoded once for all of them.

use std::{collections::HashMap, sync::Arc};

use modash_proto::v1::LiveRequest;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    Commits,
    index::Index,
    mailbox::Mailbox,
    pending::{Pending, Topics},
    state::without_outcome,
};
use crate::{
    filter::{Facts, Filter},
    store::Row,
};

/// To whole hours: when exactly requests of others began is told to nobody.
const MICROSECONDS_OF_AN_HOUR: i64 = 3_600_000_000;

/// The readers of one filter.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) filter: Filter,
    pub(super) topics: Topics,
    /// Changes since the last message.
    pub(super) pending: Pending,
    /// Signalled when `pending` is no longer empty.
    pub(super) wake: Arc<Notify>,
    /// Signalled when `pending` has commits and had none.
    pub(super) committed: Arc<Notify>,
    pub(super) readers: HashMap<u64, Arc<Mailbox>>,
}

/// All audiences.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    by_id: HashMap<u64, Audience>,
    index: Index,
    readers: usize,
    next_id: u64,
}

impl Audiences {
    /// Adds a reader. Gives the audience, and what wakes it if it is new.
    pub(super) fn join(
        &mut self,
        filter: Filter,
        topics: Topics,
        reader: u64,
        mailbox: Arc<Mailbox>,
    ) -> (u64, Option<Arc<Notify>>) {
        self.readers += 1;
        let same = |audience: &Audience| audience.filter == filter && audience.topics == topics;
        if let Some((id, audience)) = self.by_id.iter_mut().find(|(_, audience)| same(audience)) {
            audience.readers.insert(reader, mailbox);
            return (*id, None);
        }
        let id = self.next_id;
        self.next_id += 1;
        let wake = Arc::new(Notify::new());
        self.index.insert(&filter, id);
        let audience = Audience {
            filter,
            topics,
            pending: Pending::default(),
            wake: Arc::clone(&wake),
            committed: Arc::default(),
            readers: HashMap::from([(reader, mailbox)]),
        };
        self.by_id.insert(id, audience);
        (id, Some(wake))
    }

    /// Removes a reader, and its audience with the last one.
    pub(super) fn leave(&mut self, id: u64, reader: u64) {
        let Some(audience) = self.by_id.get_mut(&id) else { return };
        self.readers -= usize::from(audience.readers.remove(&reader).is_some());
        if audience.readers.is_empty() {
            self.index.remove(&audience.filter, id);
            // Its task ends when it finds nothing.
            audience.wake.notify_one();
            self.by_id.remove(&id);
        }
    }

    /// Number of readers.
    pub(super) fn readers(&self) -> usize {
        self.readers
    }

    pub(super) fn get(&self, id: u64) -> Option<&Audience> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Audience> {
        self.by_id.get_mut(&id)
    }

    /// Notes the newest state of a request for those who are to see it. For those
    /// whose filter it no longer passes it has ended.
    pub(super) fn tell(&mut self, id: Uuid, before: Option<&LiveRequest>, now: &LiveRequest) {
        let facts_before = before.map(Facts::of_live);
        let facts = Facts::of_live(now);
        // One that is found twice notes the same twice.
        let mut concerned = Vec::new();
        self.index.candidates(&facts, &mut concerned);
        if let Some(before) = &facts_before {
            self.index.candidates(before, &mut concerned);
        }
        for audience in concerned {
            let Some(audience) = self.by_id.get_mut(&audience) else { continue };
            if !audience.topics.request_state {
                continue;
            }
            let told = if audience.filter.passes(&facts) {
                now.clone()
            } else if facts_before.is_some_and(|before| audience.filter.passes(&before)) {
                without_outcome(now)
            } else {
                continue;
            };
            audience.note(|pending| pending.add_request(id, told));
        }
    }

    /// Notes rows that were committed for those whose filter they pass.
    pub(super) fn tell_rows<'a>(&mut self, rows: impl Iterator<Item = &'a Row>) {
        let mut concerned = Vec::new();
        for row in rows {
            let facts = Facts::of_row(row);
            concerned.clear();
            self.index.candidates(&facts, &mut concerned);
            for audience in &concerned {
                let Some(audience) = self.by_id.get_mut(audience) else { continue };
                if audience.topics.usage && audience.filter.passes(&facts) {
                    let started_at = row.started_at.timestamp_micros();
                    audience.note(|pending| pending.add_usage(1, started_at));
                }
            }
        }
    }

    /// Notes commits of which only the number is known: everybody is told. Readers with
    /// a scope learn that there was something, not how much.
    pub(super) fn tell_commits(&mut self, commits: Commits) {
        let Some(oldest) = commits.oldest_started_at else { return };
        for audience in self.by_id.values_mut().filter(|audience| audience.topics.usage) {
            let (requests, oldest) = if audience.filter.scoped {
                (0, oldest - oldest.rem_euclid(MICROSECONDS_OF_AN_HOUR))
            } else {
                (commits.requests, oldest)
            };
            audience.note(|pending| pending.add_usage(requests, oldest));
        }
    }
}

impl Audience {
    fn note(&mut self, change: impl FnOnce(&mut Pending)) {
        let (first, first_commit) = (self.pending.is_empty(), !self.pending.has_usage());
        change(&mut self.pending);
        if first {
            self.wake.notify_one();
        }
        if first_commit && self.pending.has_usage() {
            self.committed.notify_one();
        }
    }
}
