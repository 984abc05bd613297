//! The slots of running requests: what a process was serving when it was killed is
//! known at its next start.
//!
//! A slot is filled when its request begins, with what the head says, and is free
//! again when the request's event is in the ring. Of requests that take longer, the
//! delivery thread describes more from time to time: a whole event, as it would be
//! were the request interrupted now.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{Ordering, compiler_fence},
};

use modash_proto::{
    timestamp_from_micros,
    v1::{Outcome, UsageEvent, UsageSource},
};
use prost::Message as _;
use uuid::Uuid;

use super::mapped::Mapped;
use crate::{exchange::Exchange, request_facts::cut};

/// Numbers in a slot.
pub(super) const SLOT: usize = DESCRIPTION + 128;

// Places of numbers in a slot.
const STATE: usize = 0;
const ID: usize = 1;
const STARTED_AT: usize = 3;
const LENGTHS: usize = 4;
const TEXT: usize = 5;
const DESCRIPTION: usize = 64;

// States.
const FREE: u64 = 0;
const RUNNING: u64 = 1;

/// Longest texts: method, upstream, path, session. Together they fit.
const MAX_TEXT: [usize; 4] = [16, 64, 216, 128];
const TEXT_BYTES: usize = (DESCRIPTION - TEXT) * size_of::<u64>();
const _: () = assert!(MAX_TEXT[0] + MAX_TEXT[1] + MAX_TEXT[2] + MAX_TEXT[3] <= TEXT_BYTES);

/// Longest description in bytes.
const MAX_DESCRIPTION: usize = (SLOT - DESCRIPTION - 1) * size_of::<u64>();

/// The slots of one core.
#[derive(Debug)]
pub(super) struct Slots {
    mapped: Arc<Mapped>,
    /// Number of the first word.
    base: usize,
    /// Free ones. The last to come is the first to go, so that few are in use.
    free: Mutex<Vec<u32>>,
}

/// The slot of one request; free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    number: u32,
}

impl Slots {
    /// This many slots from the word `base` on.
    pub(super) fn new(mapped: Arc<Mapped>, base: usize, count: usize) -> Arc<Self> {
        let free = Mutex::new((0..u32::try_from(count).unwrap_or(u32::MAX)).rev().collect());
        Arc::new(Self { mapped, base, free })
    }

    /// A slot for a request that begins; `None` if all are taken.
    pub(super) fn take(self: &Arc<Self>, exchange: &Exchange) -> Option<Slot> {
        let number = self.free().pop()?;
        let slot = Slot { slots: self.clone(), number };
        slot.begin(exchange);
        Some(slot)
    }

    fn free(&self) -> MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn begin(&self, exchange: &Exchange) {
        let facts = &exchange.facts;
        let texts = [
            facts.method.as_str(),
            &exchange.upstream,
            facts.path(),
            facts.session().unwrap_or_default(),
        ];
        let (mut bytes, mut lengths, mut end) = ([0; TEXT_BYTES], 0, 0);
        for (at, (text, limit)) in texts.into_iter().zip(MAX_TEXT).enumerate() {
            let text = cut(text, limit);
            bytes[end..end + text.len()].copy_from_slice(text.as_bytes());
            lengths |= (text.len() as u64) << (16 * at);
            end += text.len();
        }
        let (high, low) = exchange.id.as_u64_pair();
        self.set(ID, high);
        self.set(ID + 1, low);
        self.set(STARTED_AT, exchange.started_at.cast_unsigned());
        self.set(LENGTHS, lengths);
        self.set_bytes(TEXT, &bytes[..end]);
        self.set_state(RUNNING);
    }

    /// Describes the request by an encoded event. One that is too long is left out:
    /// what the head said is known all the same.
    pub(in crate::emit) fn describe(&self, event: &[u8]) {
        if event.len() <= MAX_DESCRIPTION {
            // Not whole until the checksum is there, which covers the bytes.
            self.set_bytes(DESCRIPTION + 1, event);
            self.set(DESCRIPTION, description_head(event));
        }
    }

    /// Says what the slot holds, after everything else was stored. A kill keeps
    /// all stores up to some point in the order of the program, so the order in
    /// which the compiler leaves them is enough.
    fn set_state(&self, state: u64) {
        compiler_fence(Ordering::Release);
        self.set(STATE, state);
    }

    fn set_bytes(&self, place: usize, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for (at, bytes) in whole.iter().chain((!rest.is_empty()).then_some(&last)).enumerate() {
            self.set(place + at, u64::from_ne_bytes(*bytes));
        }
    }

    fn set(&self, place: usize, number: u64) {
        let at = self.slots.base + self.number as usize * SLOT + place;
        self.slots.mapped.numbers()[at].store(number, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.set_state(FREE);
        self.slots.free().push(self.number);
    }
}

fn description_head(event: &[u8]) -> u64 {
    u64::from(crc32fast::hash(event)) << 32 | event.len() as u64
}

/// The events of the requests in slots that a dead process left, of which there are
/// this many, given their words.
pub(super) fn left_in(
    count: usize,
    replica_id: &str,
    mut word: impl FnMut(usize) -> u64,
) -> Vec<UsageEvent> {
    let mut events = Vec::new();
    for first in (0..count).map(|number| number * SLOT) {
        match word(first + STATE) {
            RUNNING => {
                let slot = std::array::from_fn(|place| word(first + place));
                events.extend(event(&slot, replica_id));
            }
            // Never used, and so is none behind it: the lowest free slot is taken first.
            FREE if word(first + ID) == 0 => break,
            _ => {}
        }
    }
    events
}

/// The event of the request in a slot.
fn event(slot: &[u64; SLOT], replica_id: &str) -> Option<UsageEvent> {
    let event_id = Uuid::from_u64_pair(slot[ID], slot[ID + 1]).to_string();
    // The description may be that of the request before.
    if let Some(described) = described(slot).filter(|event| event.event_id == event_id) {
        return Some(described);
    }
    let texts = bytes(&slot[TEXT..DESCRIPTION]);
    let mut rest = texts.as_slice();
    let mut text = |at: usize| {
        let length = usize::from((slot[LENGTHS] >> (16 * at)) as u16);
        let (text, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(str::from_utf8(text).ok()?.to_owned())
    };
    let (method, upstream, path, session) = (text(0)?, text(1)?, text(2)?, text(3)?);
    Some(UsageEvent {
        event_id,
        replica_id: replica_id.to_owned(),
        started_at: Some(timestamp_from_micros(i64::try_from(slot[STARTED_AT]).ok()?)),
        upstream,
        dialect: modash_metering::Dialect::Unknown.id().to_owned(),
        method,
        path,
        session: Some(session).filter(|session| !session.is_empty()),
        outcome: Outcome::Interrupted.into(),
        usage_source: UsageSource::NotReported.into(),
        ..UsageEvent::default()
    })
}

fn described(slot: &[u64; SLOT]) -> Option<UsageEvent> {
    let head = slot[DESCRIPTION];
    let mut event = bytes(&slot[DESCRIPTION + 1..]);
    event.truncate(usize::try_from(head as u32).ok()?);
    (description_head(&event) == head).then(|| UsageEvent::decode(event.as_slice()).ok()).flatten()
}

fn bytes(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 8;

    fn exchange(path: &str) -> Exchange {
        let request = http::Request::post(path).header("x-session-id", "s-1").body(()).unwrap();
        Exchange::begin(
            &modash_metering::Head::from(&request.into_parts().0),
            "default".into(),
            Arc::default(),
        )
    }

    fn slots() -> Arc<Slots> {
        Slots::new(Arc::new(Mapped::anonymous(COUNT * SLOT).unwrap()), 0, COUNT)
    }

    fn left(slots: &Slots) -> Vec<UsageEvent> {
        let numbers = slots.mapped.numbers().iter();
        let words: Vec<_> = numbers.map(|number| number.load(Ordering::Relaxed)).collect();
        left_in(COUNT, "replica", |at| words[at])
    }

    #[test]
    fn a_request_is_known_from_its_begin_to_its_end() {
        let slots = slots();
        let (running, ended) = (exchange("/a"), exchange("/b"));
        let _slot = slots.take(&running).unwrap();
        drop(slots.take(&ended).unwrap());
        let events = left(&slots);
        assert_eq!(events.len(), 1, "{events:?}");
        let event = &events[0];
        assert_eq!(event.check(), Ok(()));
        assert_eq!(event.event_id, running.id.to_string());
        assert_eq!(event.started_at, Some(timestamp_from_micros(running.started_at)));
        assert_eq!((event.method.as_str(), event.path.as_str()), ("POST", "/a"));
        assert_eq!((event.upstream.as_str(), event.session.as_deref()), ("default", Some("s-1")));
    }

    #[test]
    fn a_description_counts_if_it_is_whole_and_of_the_same_request() {
        let slots = slots();
        let (first, second) = (exchange("/a"), exchange("/b"));
        let describing = |exchange: &Exchange, model: &str| UsageEvent {
            event_id: exchange.id.to_string(),
            model: Some(model.to_owned()),
            ..UsageEvent::default()
        };
        let slot = slots.take(&first).unwrap();
        slot.describe(&describing(&first, "m").encode_to_vec());
        assert_eq!(left(&slots)[0].model.as_deref(), Some("m"));
        slot.describe(&describing(&first, &"m".repeat(2_000)).encode_to_vec());
        assert_eq!(left(&slots)[0].model.as_deref(), Some("m"), "what fits stays");
        slot.set(DESCRIPTION + 2, 7);
        assert_eq!((left(&slots)[0].model.as_ref(), left(&slots)[0].path.as_str()), (None, "/a"));
        slot.describe(&describing(&first, "m").encode_to_vec());
        drop(slot);
        let _slot = slots.take(&second).unwrap();
        assert_eq!((left(&slots)[0].model.as_ref(), left(&slots)[0].path.as_str()), (None, "/b"));
    }

    #[test]
    fn when_all_slots_are_taken_requests_go_on_without() {
        let (slots, exchange) = (slots(), exchange("/a"));
        let mut taken: Vec<_> = (0..COUNT).map_while(|_| slots.take(&exchange)).collect();
        assert_eq!(taken.len(), COUNT);
        assert!(slots.take(&exchange).is_none());
        taken.pop();
        assert!(slots.take(&exchange).is_some());
    }

    #[test]
    fn texts_of_any_length_fit() {
        let slots = slots();
        let request = http::Request::builder()
            .method("M".repeat(50).as_str())
            .uri(format!("/{}", "p".repeat(600)))
            .header("x-session-id", "s".repeat(200));
        let head = request.body(()).unwrap().into_parts().0;
        let long = Exchange::begin(
            &modash_metering::Head::from(&head),
            "u".repeat(200).into(),
            Arc::default(),
        );
        let _slot = slots.take(&long);
        let events = left(&slots);
        assert_eq!(events[0].check(), Ok(()));
        assert_eq!((events[0].method.len(), events[0].path.len()), (16, 216));
    }
}
