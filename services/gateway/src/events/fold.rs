//! What one stream has still to send: changes wait here until it is their
//! turn, and later ones are folded into those that wait.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
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

/// What it is time to tell.
#[derive(Debug)]
pub(crate) enum Told {
    Usage(Usage),
    Requests(Requests),
}

/// Totals have changed.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Number of the newest change in it.
    pub(crate) seq: u64,
    /// Its time, in milliseconds since 1970.
    pub(crate) now: u64,
    /// Requests committed; `None`: not known.
    pub(crate) requests: Option<u64>,
    /// Earliest start among them, in milliseconds since 1970; `None`: not known.
    pub(crate) oldest_started_at: Option<f64>,
}

/// Requests in flight have changed.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Number of the newest change in it.
    pub(crate) seq: u64,
    /// Its time, in milliseconds since 1970.
    pub(crate) now: u64,
    /// The newest state of each.
    pub(crate) newest: BTreeMap<Arc<str>, Live>,
    /// More changed than there are here.
    pub(crate) truncated: bool,
    /// Others that were in flight are not any more, unless it is truncated.
    pub(crate) snapshot: bool,
    /// Whether what runs is known from here on; `None`: as before.
    pub(crate) live: Option<bool>,
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
    pub(crate) fn take(&mut self, now: Instant) -> Vec<Told> {
        let is_due =
            |sent: Option<Instant>, interval| sent.is_none_or(|sent| now >= sent + interval);
        let usage = self.usage.take_if(|_| is_due(self.usage_sent, USAGE_INTERVAL));
        let requests = self.requests.take_if(|_| is_due(self.requests_sent, REQUESTS_INTERVAL));
        let mut told: Vec<Told> = usage.map(Told::Usage).into_iter().collect();
        told.extend(requests.map(Told::Requests));
        told.sort_by_key(Told::seq);
        for told in &mut told {
            let (sent, seq) = match told {
                Told::Usage(usage) => (&mut self.usage_sent, &mut usage.seq),
                Told::Requests(requests) => (&mut self.requests_sent, &mut requests.seq),
            };
            *sent = Some(now);
            self.last_seq = self.last_seq.max(*seq);
            *seq = self.last_seq;
        }
        told
    }
}

impl Told {
    fn seq(&self) -> u64 {
        match self {
            Self::Usage(usage) => usage.seq,
            Self::Requests(requests) => requests.seq,
        }
    }
}
