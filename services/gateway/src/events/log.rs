//! The last events and the requests in flight, shared by all streams. Events
//! are numbered; a stream is a position among them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use super::live::Live;

/// Events that a returning client can catch up with.
const KEPT_EVENTS: usize = 1024;
/// States of requests in those events, about 900 bytes each. Only a very busy
/// installation keeps fewer events for this; whoever misses so much has to look
/// anew anyway.
const KEPT_STATES: usize = 20_000;
/// An event of one kind may wait this long for its turn while one of the other
/// kind, made later, is already sent.
const MOST_REORDERING: Duration = Duration::from_millis(500);

/// One change.
#[derive(Debug)]
pub(crate) struct Event {
    /// Number of the event, from 1.
    pub(crate) seq: u64,
    /// Time of the event, in milliseconds since 1970.
    pub(crate) now: u64,
    /// What changed.
    pub(crate) change: Change,
    made: Instant,
}

/// What changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// Totals.
    Usage {
        /// Requests committed. `None`: not known.
        requests: Option<u64>,
        /// Earliest start among them, in milliseconds since 1970. `None`: not
        /// known.
        oldest_started_at: Option<f64>,
    },
    /// Requests in flight.
    Requests {
        /// Newest states.
        requests: Vec<Live>,
        /// More changed than there are here.
        truncated: bool,
        /// All that are in flight are here; others that were are gone.
        snapshot: bool,
        /// Whether what runs is known from here on. `None`: as before.
        live: Option<bool>,
    },
}

impl Change {
    /// States of requests in it.
    fn states(&self) -> usize {
        match self {
            Self::Usage { .. } => 0,
            Self::Requests { requests, .. } => requests.len(),
        }
    }

    fn is_usage(&self) -> bool {
        matches!(self, Self::Usage { .. })
    }
}

/// The events kept, and the state behind them.
#[derive(Debug, Default)]
pub(crate) struct Log {
    seq: u64,
    kept: VecDeque<Arc<Event>>,
    kept_states: usize,
    in_flight: BTreeMap<Arc<str>, Live>,
    /// Version of analytics, as far as it is known.
    pub(crate) version: String,
}

impl Log {
    /// Adds an event and gives it the next number.
    pub(crate) fn push(&mut self, change: Change) -> u64 {
        if let Change::Requests { requests, snapshot, live, .. } = &change {
            // What runs is told anew as soon as it is known again.
            if *snapshot || live.is_some() {
                self.in_flight.clear();
            }
            for live in requests {
                if live.ended {
                    self.in_flight.remove(&live.id);
                } else {
                    self.in_flight.insert(live.id.clone(), live.clone());
                }
            }
        }
        self.seq += 1;
        self.kept_states += change.states();
        while self.kept.len() == KEPT_EVENTS || self.kept_states > KEPT_STATES {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.kept_states -= oldest.change.states();
        }
        let (now, made) = (milliseconds_since_1970(), Instant::now());
        self.kept.push_back(Arc::new(Event { seq: self.seq, now, change, made }));
        self.seq
    }

    /// Number of the newest event.
    pub(crate) fn newest(&self) -> u64 {
        self.seq
    }

    /// At most `most` of the requests in flight, the newest ones in the order
    /// of their start, and whether there are more.
    pub(crate) fn in_flight(&self, most: usize) -> (Vec<Live>, bool) {
        let first = self.in_flight.len().saturating_sub(most);
        (self.in_flight.values().skip(first).cloned().collect(), first > 0)
    }

    /// Events after number `seq`; `None` if some of them are no longer kept.
    pub(crate) fn after(&self, seq: u64) -> Option<Vec<Arc<Event>>> {
        let missed = usize::try_from(self.seq.checked_sub(seq)?).ok()?;
        let first = self.kept.len().checked_sub(missed)?;
        Some(self.kept.range(first..).cloned().collect())
    }

    /// Events that a client may have missed whose last one was number `seq`;
    /// `None` if they are no longer kept. This includes such of the other kind
    /// as may still have been waiting for their turn when that one was sent.
    pub(crate) fn missed_since(&self, seq: u64) -> Option<Vec<Arc<Event>>> {
        let after = self.after(seq)?;
        let before = &mut self.kept.range(..self.kept.len() - after.len()).rev();
        let Some(last) = before.next() else {
            return Some(after);
        };
        let waiting = before
            .take_while(|event| last.made.duration_since(event.made) < MOST_REORDERING)
            .filter(|event| event.change.is_usage() != last.change.is_usage());
        let mut missed: Vec<_> = waiting.cloned().collect();
        missed.reverse();
        missed.extend(after);
        Some(missed)
    }
}

/// Time of day for people and clients.
pub(crate) fn milliseconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Change {
        Change::Usage { requests: None, oldest_started_at: None }
    }

    fn requests() -> Change {
        Change::Requests { requests: Vec::new(), truncated: false, snapshot: false, live: None }
    }

    fn numbers(events: Option<Vec<Arc<Event>>>) -> Option<Vec<u64>> {
        events.map(|events| events.iter().map(|event| event.seq).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_events_are_kept_and_older_positions_are_unknown() {
        let mut log = Log::default();
        for _ in 0..KEPT_EVENTS + 10 {
            log.push(usage());
        }
        assert_eq!(log.after(log.newest()).unwrap().len(), 0);
        assert_eq!(log.after(10).unwrap().len(), KEPT_EVENTS);
        assert!(log.after(9).is_none());
        assert!(log.after(log.newest() + 1).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_installation_keeps_fewer_events() {
        let live = Live {
            id: "a".into(),
            ended: false,
            json: serde_json::value::RawValue::NULL.to_owned().into(),
            message: bytes::Bytes::new(),
        };
        let busy = || Change::Requests {
            requests: vec![live.clone(); 200],
            truncated: false,
            snapshot: false,
            live: None,
        };
        let mut log = Log::default();
        for _ in 0..150 {
            log.push(busy());
        }
        assert_eq!(log.kept.len(), 100);
        assert!(log.after(50).is_some() && log.after(49).is_none());
        // One that is too large for all stays, as the newest does always.
        log.push(Change::Requests {
            requests: vec![live; 30_000],
            truncated: false,
            snapshot: true,
            live: None,
        });
        assert_eq!(log.after(150).map(|events| events.len()), Some(1));
        log.push(usage());
        assert_eq!(numbers(log.after(151)), Some(vec![152]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_waited_for_its_turn_counts_as_missed() {
        let mut log = Log::default();
        log.push(usage());
        tokio::time::advance(Duration::from_millis(900)).await;
        log.push(usage());
        log.push(requests());
        log.push(usage());
        assert_eq!(numbers(log.missed_since(3)), Some(vec![2, 4]));
        assert_eq!(numbers(log.missed_since(4)), Some(vec![3]));
        assert_eq!(numbers(log.missed_since(1)), Some(vec![2, 3, 4]));
    }
}
