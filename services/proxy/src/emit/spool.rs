//! The events that analytics has not committed yet, in order, each with its
//! sequence number. Bounded: at the limit the oldest go, and are counted.

use std::collections::VecDeque;

use crate::usage_event::SharedEvent;

/// Events from the first that is not acknowledged to the newest.
pub(super) struct Spool {
    events: VecDeque<SharedEvent>,
    /// Sequence number of the first event in `events`.
    first: u64,
    /// Sequence number of the first event that the present stream has not sent.
    next_to_send: u64,
    limit: usize,
    dropping: bool,
    counts: Counts,
}

/// What became of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Handed to a stream, repeats included.
    pub(super) sent: u64,
    /// Acknowledged, rejected ones included.
    pub(super) acknowledged: u64,
    /// Given up at the limit.
    pub(super) dropped: u64,
    /// Refused by analytics for good.
    pub(super) rejected: u64,
}

impl Spool {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            events: VecDeque::new(),
            first: 1,
            next_to_send: 1,
            limit,
            dropping: false,
            counts: Counts::default(),
        }
    }

    /// Adds an event. True if this is the first one for which another had to go.
    pub(super) fn append(&mut self, event: SharedEvent) -> bool {
        self.events.push_back(event);
        if self.events.len() <= self.limit {
            return false;
        }
        self.events.pop_front();
        self.first += 1;
        self.next_to_send = self.next_to_send.max(self.first);
        self.counts.dropped += 1;
        !std::mem::replace(&mut self.dropping, true)
    }

    /// A new stream begins with what is not acknowledged; gives the sequence
    /// number of its first event.
    pub(super) fn rewind(&mut self) -> u64 {
        self.next_to_send = self.first;
        self.first
    }

    /// The next events to send with the sequence number of the first; empty if
    /// all are sent, or `window` are sent and not acknowledged.
    pub(super) fn next_batch(&mut self, most: usize, window: usize) -> (u64, Vec<SharedEvent>) {
        let first = self.next_to_send;
        let sent = self.sent_unacknowledged();
        let count = most.min(window.saturating_sub(sent)).min(self.unsent());
        let events: Vec<_> = self.events.range(sent..sent + count).cloned().collect();
        self.next_to_send += count as u64;
        self.counts.sent += count as u64;
        (first, events)
    }

    /// Events up to this sequence number are committed or rejected.
    pub(super) fn acknowledge(&mut self, sequence: u64) {
        let committed = sequence.min(self.next_to_send.saturating_sub(1));
        while self.first <= committed && self.events.pop_front().is_some() {
            self.first += 1;
            self.counts.acknowledged += 1;
        }
        self.dropping &= self.events.len() == self.limit;
    }

    /// An event was refused for good.
    pub(super) fn note_rejected(&mut self) {
        self.counts.rejected += 1;
    }

    /// Events that are not acknowledged.
    pub(super) fn pending(&self) -> usize {
        self.events.len()
    }

    /// Events that the present stream has not sent.
    pub(super) fn unsent(&self) -> usize {
        self.events.len() - self.sent_unacknowledged()
    }

    /// The oldest event that is not acknowledged.
    pub(super) fn oldest(&self) -> Option<&SharedEvent> {
        self.events.front()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    fn sent_unacknowledged(&self) -> usize {
        usize::try_from(self.next_to_send - self.first).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modash_proto::v1::UsageEvent;
    use std::sync::Arc;

    fn spool_of(events: usize, limit: usize) -> Spool {
        let mut spool = Spool::new(limit);
        for number in 1..=events {
            let event = UsageEvent { event_id: number.to_string(), ..UsageEvent::default() };
            spool.append(Arc::new(event));
        }
        spool
    }

    fn ids(events: &[SharedEvent]) -> Vec<&str> {
        events.iter().map(|event| event.event_id.as_str()).collect()
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_on_the_next_stream() {
        let mut spool = spool_of(5, 10);
        assert_eq!(ids(&spool.next_batch(3, 100).1), ["1", "2", "3"]);
        assert_eq!(spool.next_batch(3, 100).0, 4);
        spool.acknowledge(2);
        assert_eq!(spool.rewind(), 3);
        let (first, events) = spool.next_batch(100, 100);
        assert_eq!((first, ids(&events)), (3, vec!["3", "4", "5"]));
        assert_eq!(spool.counts().sent, 8);
    }

    #[test]
    fn the_window_bounds_what_is_under_way() {
        let mut spool = spool_of(5, 10);
        assert_eq!(spool.next_batch(100, 2).1.len(), 2);
        assert_eq!(spool.next_batch(100, 2).1.len(), 0);
        spool.acknowledge(1);
        assert_eq!(spool.next_batch(100, 2).1.len(), 1);
    }

    #[test]
    fn at_the_limit_the_oldest_go_and_are_counted() {
        let mut spool = spool_of(7, 5);
        assert_eq!(spool.counts().dropped, 2);
        let (first, events) = spool.next_batch(100, 100);
        assert_eq!((first, events.len()), (3, 5));
    }

    #[test]
    fn an_ack_of_what_was_never_sent_changes_nothing() {
        let mut spool = spool_of(3, 5);
        spool.acknowledge(99);
        assert_eq!((spool.pending(), spool.counts().acknowledged), (3, 0));
    }
}
