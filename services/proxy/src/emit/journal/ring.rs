//! The ring of ended requests: encoded events, written by the core's own thread and
//! read by the delivery thread, in mapped memory.
//!
//! Positions count 64-bit words from the first that was ever written and never go
//! back; a position's place is its remainder by the length of the ring. A record is
//! `CRC-32 | length and flags`, then the payload, padded to whole words. It never
//! crosses the end of the ring: a record without payload fills the rest. The checksum
//! covers the position too, so that what an earlier round left is no record.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

use super::mapped::Mapped;

/// Words before the records: the two positions, on cache lines of their own, since
/// two threads change them.
pub(super) const CONTROL: usize = 64;
const HEAD: usize = 0;
const TAIL: usize = 16;

// Flags, below the length.
const TOLD: u32 = 1;
const FILLER: u32 = 2;
const LENGTH_SHIFT: u32 = 2;

/// Longest payload: many times what the limits of an event's fields allow. Otherwise
/// damaged words would be taken for lengths of megabytes, each to be looked through.
const MAX_PAYLOAD: usize = 128 * 1024;

/// A ring in a part of mapped memory.
#[derive(Debug)]
pub(super) struct Ring {
    mapped: Arc<Mapped>,
    /// Number of the first word of `CONTROL`.
    base: usize,
    /// Words of records.
    length: usize,
}

/// An ended request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its encoded usage event.
    pub(crate) event: Bytes,
    /// Analytics was told that it ran, so it has to be told of its end too.
    pub(crate) told: bool,
}

/// There is no room until the delivery thread has freed some, or never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Ring {
    /// The ring whose control words begin at `base`.
    pub(super) fn new(mapped: Arc<Mapped>, base: usize, length: usize) -> Self {
        Self { mapped, base, length }
    }

    /// Adds a record. Only ever called by one thread at a time.
    pub(super) fn append(&self, payload: &[u8], told: bool) -> Result<(), Full> {
        let (mut head, tail) = (self.head(), self.tail());
        let words = 1 + payload.len().div_ceil(size_of::<u64>());
        let rest = self.length - self.place(head);
        let filler = if words > rest { rest } else { 0 };
        let too_long = payload.len() > MAX_PAYLOAD;
        if too_long || head + (filler + words) as u64 - tail > self.length as u64 {
            return Err(Full);
        }
        if filler > 0 {
            self.word(head).store(record_head(head, FILLER, &[]), Ordering::Relaxed);
            head += filler as u64;
        }
        let (whole, rest) = payload.as_chunks::<8>();
        let first = self.place(head) + 1;
        let numbers = &self.words()[first..first + words - 1];
        for (number, bytes) in numbers.iter().zip(whole) {
            number.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        if let (Some(last), false) = (numbers.last(), rest.is_empty()) {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            last.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
        self.word(head).store(record_head(head, u32::from(told), payload), Ordering::Relaxed);
        // Last: who sees this position sees the record, also after a kill.
        self.control(HEAD).store(head + words as u64, Ordering::Release);
        Ok(())
    }

    /// The record at a position and the position after it; `None` if there is no more.
    pub(super) fn read(&self, position: u64) -> Option<(Ended, u64)> {
        let mut position = position;
        while position < self.head() {
            let word = |place: usize| self.words()[place].load(Ordering::Relaxed);
            match record_at(position, self.length, word) {
                Some(Record::Event(ended, next)) => return Some((ended, next)),
                Some(Record::Filler(next)) => position = next,
                // The writer's own words: only a defect gets here. Going on behind
                // them loses them, standing still would lose all that follows.
                None => position = self.head(),
            }
        }
        None
    }

    /// Records before this position are kept elsewhere, or not needed any more.
    pub(super) fn free_to(&self, position: u64) {
        if position > self.tail() {
            self.control(TAIL).store(position, Ordering::Release);
        }
    }

    /// Whether more than half is in use.
    pub(super) fn is_half_full(&self) -> bool {
        self.used() > self.length / 2
    }

    /// Whether more than three quarters are in use.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.used() > self.length / 4 * 3
    }

    /// Words in use.
    pub(super) fn used(&self) -> usize {
        // In this order: the tail never passes the head.
        let tail = self.tail();
        (self.head() - tail) as usize
    }

    /// The position of the next record.
    pub(super) fn head(&self) -> u64 {
        self.control(HEAD).load(Ordering::Acquire)
    }

    fn tail(&self) -> u64 {
        self.control(TAIL).load(Ordering::Acquire)
    }

    fn control(&self, place: usize) -> &AtomicU64 {
        &self.mapped.numbers()[self.base + place]
    }

    /// The words of records, by place.
    fn words(&self) -> &[AtomicU64] {
        let first = self.base + CONTROL;
        &self.mapped.numbers()[first..first + self.length]
    }

    fn word(&self, position: u64) -> &AtomicU64 {
        &self.words()[self.place(position)]
    }

    fn place(&self, position: u64) -> usize {
        (position % self.length as u64) as usize
    }
}

/// What a dead process left in a ring of this length, given its words, control words
/// included. Reads on behind what is damaged, and counts that.
pub(super) fn left_in(length: usize, mut word: impl FnMut(usize) -> u64) -> (Vec<Ended>, u64) {
    let (head, tail) = (word(HEAD), word(TAIL));
    let mut word = |place: usize| word(CONTROL + place);
    let (mut position, mut ended, mut damaged) = (tail, Vec::new(), 0);
    // A power cut keeps pages in any order: there may be records behind the head, and
    // none before it.
    let mut last_damaged = None;
    let end = tail.saturating_add(length as u64);
    while position < end {
        match record_at(position, length, &mut word) {
            Some(Record::Event(event, next)) => {
                ended.push(event);
                position = next;
            }
            Some(Record::Filler(next)) => position = next,
            None if position >= head => break,
            None => {
                // One gap, however many records it was, counts as one.
                if last_damaged != Some(position) {
                    damaged += 1;
                }
                position += 1;
                last_damaged = Some(position);
            }
        }
    }
    (ended, damaged)
}

enum Record {
    Event(Ended, u64),
    Filler(u64),
}

/// The record at a position, if it is whole and undamaged; `word` gives those of records
/// by place.
fn record_at(position: u64, length: usize, mut word: impl FnMut(usize) -> u64) -> Option<Record> {
    let place = (position % length as u64) as usize;
    let head = word(place);
    let described = head as u32;
    let bytes = (described >> LENGTH_SHIFT) as usize;
    let rest = length - place;
    let words = 1 + bytes.div_ceil(size_of::<u64>());
    if bytes > MAX_PAYLOAD || words > rest {
        return None;
    }
    let mut payload = vec![0; (words - 1) * size_of::<u64>()];
    for (eight, at) in payload.as_chunks_mut().0.iter_mut().zip(place + 1..) {
        *eight = word(at).to_ne_bytes();
    }
    payload.truncate(bytes);
    if record_head(position, described & (TOLD | FILLER), &payload) != head {
        return None;
    }
    if described & FILLER != 0 {
        return Some(Record::Filler(position + rest as u64));
    }
    let ended = Ended { event: payload.into(), told: described & TOLD != 0 };
    Some(Record::Event(ended, position + words as u64))
}

/// The first word of a record.
fn record_head(position: u64, flags: u32, payload: &[u8]) -> u64 {
    let described = (payload.len() as u32) << LENGTH_SHIFT | flags;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.to_ne_bytes());
    hasher.update(&described.to_ne_bytes());
    hasher.update(payload);
    u64::from(hasher.finalize()) << 32 | u64::from(described)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(length: usize) -> Ring {
        Ring::new(Arc::new(Mapped::anonymous(CONTROL + length).unwrap()), 0, length)
    }

    fn words(ring: &Ring) -> Vec<u64> {
        ring.mapped.numbers().iter().map(|number| number.load(Ordering::Relaxed)).collect()
    }

    /// What a process would find that reads these words.
    fn left_in(words: &[u64]) -> (Vec<Ended>, u64) {
        super::left_in(words.len() - CONTROL, |at| words[at])
    }

    fn payloads(ended: &[Ended]) -> Vec<&[u8]> {
        ended.iter().map(|ended| ended.event.as_ref()).collect()
    }

    proptest! {
        #[test]
        fn everything_is_read_in_order_and_a_kill_leaves_what_is_not_freed(
            lengths in prop::collection::vec((0..200_usize, 0..4_u8), 1..200),
        ) {
            let ring = ring(128);
            let (mut read, mut freed, mut sent) = (0, 0, Vec::new());
            for (number, (length, turns)) in lengths.into_iter().enumerate() {
                let payload = vec![number as u8; length];
                let told = number % 3 == 0;
                if ring.append(&payload, told).is_ok() {
                    sent.push((payload, told));
                } else {
                    prop_assert!(read > 0 || !sent.is_empty());
                }
                if turns == 0 {
                    while let Some((ended, next)) = ring.read(read) {
                        let (payload, told) = sent.remove(0);
                        prop_assert_eq!((ended.event.as_ref(), ended.told), (payload.as_slice(), told));
                        read = next;
                    }
                    freed = read;
                    ring.free_to(freed);
                }
                let (left, damaged) = left_in(&words(&ring));
                let expected: Vec<_> = sent.iter().map(|(payload, _)| payload.as_slice()).collect();
                prop_assert_eq!((payloads(&left), damaged), (expected, 0));
            }
            prop_assert_eq!(freed, read);
        }

        #[test]
        fn damage_costs_only_what_it_hits(at in 0..600_usize, bit in 0..64_u32) {
            let ring = ring(640);
            let events: Vec<Vec<u8>> = (0..20_u8).map(|number| vec![number; 200]).collect();
            for event in &events {
                ring.append(event, false).unwrap();
            }
            let mut damaged = words(&ring);
            damaged[CONTROL + at] ^= 1 << bit;
            let (left, count) = left_in(&damaged);
            let hit = at < 20 * 26;
            prop_assert_eq!(left.len(), if hit { 19 } else { 20 });
            prop_assert_eq!(count, u64::from(hit));
            prop_assert!(left.iter().all(|ended| events.contains(&ended.event.to_vec())));
        }
    }

    #[test]
    fn an_event_that_no_limit_allows_has_no_place_in_it() {
        let ring = ring(1 << 16);
        assert_eq!(ring.append(&vec![1; MAX_PAYLOAD + 1], false), Err(Full));
        assert_eq!(ring.append(&vec![1; MAX_PAYLOAD], false), Ok(()));
        assert_eq!(ring.read(0).unwrap().0.event.len(), MAX_PAYLOAD);
    }

    #[test]
    fn a_full_ring_says_so_and_goes_on_when_it_is_freed() {
        let ring = ring(64);
        let mut appended = 0;
        while ring.append(&[1; 80], false).is_ok() {
            appended += 1;
        }
        assert_eq!(appended, 5, "of 11 words each, and none crosses the end");
        assert!(ring.is_half_full());
        ring.free_to(ring.read(0).unwrap().1);
        assert_eq!(ring.append(&[2; 80], false), Ok(()), "the rest of the ring is filled up");
        assert_eq!(ring.append(&[3; 80], false), Err(Full));
        ring.free_to(ring.head());
        assert_eq!(ring.append(&[3; 80], false), Ok(()));
    }
}
