//! Finds the event because of which analytics refuses whole batches, so that it holds up
//! no other. After each refusal half as many events may be under way, until the refused
//! one stands alone; then a stand-in with the same id takes its place, which analytics
//! keeps in quarantine. If the stand-in is refused as well, the event is not the cause,
//! and is sent again itself.

use std::time::Duration;

use modash_proto::{
    clean_text,
    v1::{Refusal, UsageEvent},
};
use prost::Message as _;
use tonic::{Code, Status};

use super::{keeper::event_id, spool::Spool};
use crate::usage_event::EncodedEvent;

/// Refusals of a single event after which a stand-in is tried.
const ATTEMPTS: u32 = 3;

/// How long a stream with a single event waits before it sends it: a stream that is
/// refused by then is not refused for that event.
const PROBE: Duration = Duration::from_millis(500);

/// Longest event, in bytes, that goes to quarantine whole: analytics keeps no more.
const MAX_QUARANTINED: usize = 16 * 1024;

/// Longest reason in bytes.
const MAX_REASON: usize = 256;

/// Events that a stream may have under way.
#[derive(Debug)]
pub(super) struct Allowance {
    usual: usize,
    now: usize,
    /// Refusals in a row of one event alone.
    refused_alone: u32,
}

impl Allowance {
    /// Usually this many.
    pub(super) fn new(usual: usize) -> Self {
        Self { usual, now: usual, refused_alone: 0 }
    }

    /// Most events under way.
    pub(super) fn events(&self) -> usize {
        self.now
    }

    /// How long a new stream waits before it sends.
    pub(super) fn probe(&self) -> Option<Duration> {
        (self.now == 1).then_some(PROBE)
    }

    /// Analytics took some.
    pub(super) fn taken(&mut self) {
        self.now = (self.now * 2).min(self.usual);
        self.refused_alone = 0;
    }

    /// A stream ended, with this status if analytics gave one. Decides what the next
    /// stream carries; true if that is less than this one had.
    pub(super) fn after(
        &mut self,
        spool: &mut Spool,
        replica_id: &str,
        status: Option<&Status>,
    ) -> bool {
        // A stand-in is for one stream only: analytics may have been repaired since.
        spool.restore_oldest();
        let under_way = spool.under_way();
        let Some(status) = status.filter(|status| under_way > 0 && concerns_events(status.code()))
        else {
            return false;
        };
        if under_way > 1 {
            self.now = under_way.min(self.now).div_ceil(2);
            return true;
        }
        // The refusal after the last attempt is that of the stand-in.
        self.refused_alone = (self.refused_alone + 1) % (ATTEMPTS + 1);
        if self.refused_alone == ATTEMPTS {
            let reason = format!("{}: {}", status.code().description(), status.message());
            spool.substitute_oldest(reason, |event| stand_in(event, replica_id));
        }
        false
    }
}

/// Whether a status may be about what was sent, rather than about the server's state.
fn concerns_events(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::OutOfRange
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::DataLoss
            | Code::Internal
    )
}

/// An event that every version of analytics can read and puts into quarantine: older
/// ones because it has no start.
fn stand_in(event: &EncodedEvent, replica_id: &str) -> EncodedEvent {
    let id = event_id(event).and_then(|id| String::from_utf8(id.to_vec()).ok());
    let stand_in = UsageEvent {
        event_id: id.unwrap_or_default(),
        replica_id: replica_id.to_owned(),
        ..UsageEvent::default()
    };
    stand_in.encode_to_vec().into()
}

/// What is said with a batch of its first event, if that is a stand-in.
pub(super) fn refusal(spool: &Spool, first_sequence: u64) -> Option<Refusal> {
    let substituted = spool.substituted(first_sequence)?;
    let mut reason = substituted.reason.clone();
    clean_text(&mut reason, MAX_REASON);
    let event = &substituted.event;
    let event = event[..event.len().min(MAX_QUARANTINED)].to_vec();
    Some(Refusal { sequence: first_sequence, reason, event })
}

#[cfg(test)]
mod tests {
    use super::{
        super::spool::{Origin, WINDOW},
        *,
    };

    fn id(number: u64) -> String {
        format!("01939e3c-7b1a-7cc0-8000-{number:012}")
    }

    /// A spool with so many events, whose numbers are their lengths.
    fn spool_of(events: u64) -> Spool {
        let mut spool = Spool::new(WINDOW, usize::MAX);
        spool.append((1..=events).map(|number| {
            let event =
                UsageEvent { event_id: id(number), request_bytes: number, ..UsageEvent::default() };
            (event.encode_to_vec().into(), Origin::Memory)
        }));
        spool
    }

    /// Streams to an analytics that refuses batches with events for which `refuses`
    /// holds, until everything is delivered or there were `most` streams; gives the
    /// events that it took, and the number of streams.
    fn deliver(
        spool: &mut Spool,
        most: usize,
        refuses: impl Fn(&UsageEvent) -> bool,
    ) -> (Vec<(UsageEvent, Option<Refusal>)>, usize) {
        let status = Status::out_of_range("too large");
        let (mut allowance, mut taken) = (Allowance::new(WINDOW), Vec::new());
        for stream in 1..=most {
            let place = spool.rewind();
            loop {
                let (first, batch) =
                    spool.next_batch(place, 1_000, usize::MAX, allowance.events()).unwrap();
                if batch.is_empty() {
                    return (taken, stream);
                }
                let refusal = refusal(spool, first);
                let events: Vec<_> =
                    batch.iter().map(|event| UsageEvent::decode(event.clone()).unwrap()).collect();
                if events.iter().any(&refuses) {
                    break;
                }
                spool.acknowledge(place, first + events.len() as u64 - 1);
                allowance.taken();
                let refusals = std::iter::once(refusal).chain(std::iter::repeat(None));
                taken.extend(events.into_iter().zip(refusals));
            }
            allowance.after(spool, "r", Some(&status));
        }
        (taken, most)
    }

    #[test]
    fn a_refused_event_goes_to_quarantine_and_the_others_are_delivered() {
        let mut spool = spool_of(5_000);
        let bad = [1, 777, 5_000];
        let (taken, streams) = deliver(&mut spool, 100, |event| bad.contains(&event.request_bytes));
        assert_eq!((taken.len(), spool.pending()), (5_000, 0), "{streams} streams");
        let ids: Vec<_> = taken.iter().map(|(event, _)| event.event_id.clone()).collect();
        assert_eq!(ids, (1..=5_000).map(id).collect::<Vec<_>>());
        let stand_ins: Vec<_> =
            taken.iter().filter_map(|(event, refusal)| Some((event, refusal.as_ref()?))).collect();
        assert_eq!(stand_ins.len(), bad.len());
        for ((event, refusal), number) in stand_ins.into_iter().zip(bad) {
            assert_eq!((&event.event_id, event.replica_id.as_str()), (&id(number), "r"));
            assert_eq!(event.check().unwrap_err().field, "started_at");
            assert!(refusal.reason.ends_with(": too large"), "{}", refusal.reason);
            let original = UsageEvent::decode(refusal.event.as_slice()).unwrap();
            assert_eq!(original.request_bytes, number);
        }
    }

    #[test]
    fn a_server_that_refuses_everything_costs_no_event() {
        let mut spool = spool_of(100);
        let (taken, _) = deliver(&mut spool, 1_000, |_| true);
        assert_eq!((taken.len(), spool.pending()), (0, 100));
        let (taken, _) = deliver(&mut spool, 1, |_| false);
        assert!(taken.iter().all(|(_, refusal)| refusal.is_none()));
        let numbers: Vec<_> = taken.iter().map(|(event, _)| event.request_bytes).collect();
        assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    }

    #[test]
    fn a_stand_in_is_not_sent_to_a_server_that_started_again() {
        let mut spool = spool_of(1);
        let mut allowance = Allowance::new(1);
        for _ in 0..ATTEMPTS {
            let place = spool.rewind();
            spool.next_batch(place, 1, usize::MAX, 1).unwrap();
            allowance.after(&mut spool, "r", Some(&Status::internal("")));
        }
        spool.rewind();
        allowance.after(&mut spool, "r", None);
        let (taken, _) = deliver(&mut spool, 1, |_| false);
        assert_eq!((taken[0].0.request_bytes, &taken[0].1), (1, &None));
    }

    #[test]
    fn a_status_of_the_server_alone_is_no_refusal() {
        for code in [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Unauthenticated] {
            assert!(!concerns_events(code), "{code:?}");
        }
    }
}
