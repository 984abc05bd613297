//! The events that analytics has not committed yet, each with its sequence number.
//!
//! In memory are the oldest, which are being sent (`window`), and those that no
//! segment file has (`unwritten`): new ones, which the journal has, and all of them
//! where there is no disk. The others are in segment files (`log`). All are bounded.
//! The delivery thread adds, the stream takes and acknowledges; nothing here touches
//! a file.

mod sending;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, ops::Range, time::Instant};

use crate::usage_event::EncodedEvent;

/// Most events held in memory to be sent, beside those that the disk has not
/// taken: several times what is under way between two acks of a busy proxy.
pub(super) const WINDOW: usize = 8_192;

/// An event with its sequence number.
#[derive(Debug, Clone)]
pub(super) struct Numbered {
    pub(super) sequence: u64,
    pub(super) event: EncodedEvent,
}

/// Where else an event is that no segment file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nowhere: a kill loses it.
    Memory,
    /// In the journal of this core, up to this position.
    Journal { core: usize, end: u64 },
    /// In a journal that another process left.
    LeftBehind,
}

/// An event that no segment file has.
#[derive(Debug)]
struct Unwritten {
    numbered: Numbered,
    origin: Origin,
    /// When it was added.
    since: Instant,
}

/// Events from the first that is not acknowledged to the newest.
#[derive(Debug)]
pub(super) struct Spool {
    /// In order. An event that was dropped leaves a gap in the numbers.
    window: VecDeque<Numbered>,
    /// In order; newer than everything in segment files.
    unwritten: VecDeque<Unwritten>,
    /// Of those, the events that are nowhere else.
    memory_only: usize,
    /// Where events were before segment files took them: needed until those are safe.
    unsafe_places: VecDeque<(u64, Origin)>,
    /// Events that are needed in the journals of other processes.
    left_behind: usize,
    /// For each core the position up to which its journal is not needed.
    freed: Vec<u64>,
    /// Most events in the window.
    most_loaded: usize,
    /// Most events that are in memory only.
    most_in_memory: usize,
    /// Number of the next new event.
    next: u64,
    /// Every event before this number is in segment files, or is not needed there.
    written_to: u64,
    /// Every event before this number was in the window, or was given up.
    loaded_to: u64,
    /// Number of the next event that the present stream sends.
    next_to_send: u64,
    acknowledged_to: u64,
    pending: u64,
    /// The oldest event, if another stands in for it in the window.
    substituted: Option<Substituted>,
    /// Changes when numbers change their meaning.
    numbering: u64,
    counts: Counts,
}

/// An event for which another stands in.
#[derive(Debug)]
pub(super) struct Substituted {
    sequence: u64,
    /// The event itself.
    pub(super) event: EncodedEvent,
    /// Why.
    pub(super) reason: String,
}

/// What became of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Handed to a stream, repeats included.
    pub(crate) sent: u64,
    /// Acknowledged, rejected ones included.
    pub(crate) acknowledged: u64,
    /// Given up at a limit.
    pub(crate) dropped: u64,
    /// Found damaged on disk.
    pub(crate) damaged: u64,
    /// Refused by analytics for good.
    pub(crate) rejected: u64,
    /// Left by the process before.
    pub(crate) recovered: u64,
    /// Made of requests that the process before was serving when it was killed.
    pub(crate) interrupted: u64,
    /// Added of requests of this process.
    pub(crate) added: u64,
}

/// What a log held when it was opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnDisk {
    /// The highest sequence number that needs no sending any more.
    pub(super) acknowledged: u64,
    /// The number after the last event in it.
    pub(super) end: u64,
    /// The number of the next new event: not lower than `end`.
    pub(super) next: u64,
    /// Events in it that are not acknowledged.
    pub(super) pending: u64,
}

/// Numbers do not follow on those that the stream has sent: it has to begin
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sequence numbers do not follow on each other")]
pub(super) struct Renumbered;

/// The place of a stream in the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    numbering: u64,
    /// Sequence number of the first event that the stream will carry.
    pub(super) next_sequence: u64,
}

/// The journal of a core is not needed up to this position.
fn free(freed: &mut Vec<u64>, core: usize, position: u64) {
    if freed.len() <= core {
        freed.resize(core + 1, 0);
    }
    freed[core] = freed[core].max(position);
}

impl Spool {
    /// Without a disk so far.
    pub(super) fn new(most_loaded: usize, most_in_memory: usize) -> Self {
        Self {
            window: VecDeque::new(),
            unwritten: VecDeque::new(),
            memory_only: 0,
            unsafe_places: VecDeque::new(),
            left_behind: 0,
            freed: Vec::new(),
            most_loaded,
            most_in_memory,
            next: 1,
            written_to: 1,
            loaded_to: 1,
            next_to_send: 1,
            acknowledged_to: 0,
            pending: 0,
            substituted: None,
            numbering: 0,
            counts: Counts::default(),
        }
    }

    // ---- by the keeper ----

    /// Puts what is on disk before what is in memory, which gets new numbers; some
    /// events of dead processes were found `damaged`.
    pub(super) fn take_over(&mut self, disk: OnDisk, damaged: u64) {
        let in_memory = self.unwritten.len() as u64;
        // Events that were in the window only cannot be sent again with other numbers.
        self.counts.dropped += self.pending - in_memory;
        self.counts.recovered += disk.pending + damaged;
        self.counts.damaged += damaged;
        self.numbering += 1;
        self.window.clear();
        self.substituted = None;
        self.acknowledged_to = disk.acknowledged;
        self.loaded_to = disk.acknowledged + 1;
        self.next_to_send = self.loaded_to;
        self.written_to = disk.end;
        self.next = disk.next + in_memory;
        for (event, sequence) in self.unwritten.iter_mut().zip(disk.next..) {
            event.numbered.sequence = sequence;
        }
        self.pending = disk.pending + in_memory;
    }

    /// The number of the next new event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Whether everything is in the window, so that nothing need be read back.
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded_to >= self.next
    }

    /// Adds new events of this process.
    pub(super) fn append(&mut self, events: impl IntoIterator<Item = (EncodedEvent, Origin)>) {
        let now = Instant::now();
        for (event, origin) in events {
            self.counts.added += 1;
            self.add(event, origin, now);
        }
    }

    /// Adds events that killed processes left in their journals: of requests that had
    /// ended, and of those that they were serving.
    pub(super) fn append_left_behind(
        &mut self,
        ended: Vec<EncodedEvent>,
        interrupted: Vec<EncodedEvent>,
    ) {
        self.counts.recovered += ended.len() as u64;
        self.counts.interrupted += interrupted.len() as u64;
        let now = Instant::now();
        for event in ended.into_iter().chain(interrupted) {
            self.add(event, Origin::LeftBehind, now);
        }
    }

    fn add(&mut self, event: EncodedEvent, origin: Origin, since: Instant) {
        let numbered = Numbered { sequence: self.next, event };
        if self.is_loaded() && self.window.len() < self.most_loaded {
            self.window.push_back(numbered.clone());
            self.loaded_to = self.next + 1;
        }
        self.next += 1;
        self.pending += 1;
        match origin {
            Origin::Memory => self.memory_only += 1,
            Origin::LeftBehind => self.left_behind += 1,
            Origin::Journal { .. } => {}
        }
        self.unwritten.push_back(Unwritten { numbered, origin, since });
        while self.memory_only > self.most_in_memory {
            self.drop_oldest_unwritten();
        }
    }

    fn drop_oldest_unwritten(&mut self) {
        let Some(sequence) = self.unwritten.front().map(|oldest| oldest.numbered.sequence) else {
            return;
        };
        self.forget_unwritten(1);
        // What was sent stays in the window, and may yet be acknowledged.
        if sequence < self.next_to_send {
            return;
        }
        if let Ok(place) = self.window.binary_search_by_key(&sequence, |event| event.sequence) {
            self.window.remove(place);
        }
        self.pending -= 1;
        self.counts.dropped += 1;
    }

    /// The oldest of the unwritten events need their places elsewhere no more.
    fn forget_unwritten(&mut self, count: usize) {
        for event in self.unwritten.drain(..count) {
            match event.origin {
                Origin::Memory => self.memory_only -= 1,
                Origin::LeftBehind => self.left_behind -= 1,
                Origin::Journal { core, end } => free(&mut self.freed, core, end),
            }
        }
    }

    /// Whether places elsewhere are held because segment files are not safe yet.
    pub(super) fn waits_for_sync(&self) -> bool {
        !self.unsafe_places.is_empty()
    }

    /// Segment files have events before this number, and keep them whatever happens.
    pub(super) fn note_safe(&mut self, next: u64) {
        while let Some((_, origin)) =
            self.unsafe_places.pop_front_if(|(sequence, _)| *sequence < next)
        {
            match origin {
                Origin::Memory => {}
                Origin::LeftBehind => self.left_behind -= 1,
                Origin::Journal { core, end } => free(&mut self.freed, core, end),
            }
        }
    }

    /// The position up to which the journal of a core is not needed.
    pub(super) fn freed(&self, core: usize) -> u64 {
        self.freed.get(core).copied().unwrap_or_default()
    }

    /// The journal of a core needs room: those of its events that no segment file has
    /// taken are in memory only from now on, up to this position.
    pub(super) fn detach(&mut self, detached: usize, position: u64) {
        for event in &mut self.unwritten {
            if matches!(event.origin, Origin::Journal { core, .. } if core == detached) {
                event.origin = Origin::Memory;
                self.memory_only += 1;
            }
        }
        self.unsafe_places.retain(
            |(_, origin)| !matches!(origin, Origin::Journal { core, .. } if *core == detached),
        );
        free(&mut self.freed, detached, position);
        while self.memory_only > self.most_in_memory {
            self.drop_oldest_unwritten();
        }
    }

    /// The oldest events that no segment file has taken.
    pub(super) fn unwritten(&self, most: usize) -> Vec<Numbered> {
        let events = self.unwritten.iter().take(most).map(|event| event.numbered.clone());
        events.collect()
    }

    /// Whether events have to be written: some are nowhere else, or hold up the end of
    /// another process's journal, or ours has had them since this moment or longer.
    pub(super) fn is_due(&self, since: Instant) -> bool {
        self.memory_only > 0
            || self.left_behind > 0
            || self.unwritten.front().is_some_and(|event| event.since <= since)
    }

    /// Events in memory that no segment file has taken.
    pub(super) fn unwritten_count(&self) -> usize {
        self.unwritten.len()
    }

    /// Events that a kill would lose.
    pub(super) fn memory_only(&self) -> u64 {
        self.memory_only as u64
    }

    /// Events that are still needed in the journals of other processes.
    pub(super) fn left_behind(&self) -> usize {
        self.left_behind
    }

    /// Segment files have taken the unwritten events up to this number.
    pub(super) fn note_written(&mut self, last: u64) {
        let taken = self.unwritten.partition_point(|event| event.numbered.sequence <= last);
        for event in self.unwritten.drain(..taken) {
            match event.origin {
                Origin::Memory => self.memory_only -= 1,
                origin => self.unsafe_places.push_back((event.numbered.sequence, origin)),
            }
        }
        self.written_to = last + 1;
    }

    /// The disk gave up these events.
    pub(super) fn drop_written(&mut self, gone: &Range<u64>) {
        self.note_safe(gone.end);
        let never_loaded = gone.end.saturating_sub(gone.start.max(self.loaded_to));
        self.loaded_to = self.loaded_to.max(gone.end);
        let before = self.window.len();
        let next_to_send = self.next_to_send;
        // What was sent may yet be acknowledged.
        self.window
            .retain(|event| event.sequence < next_to_send || !gone.contains(&event.sequence));
        let dropped = never_loaded + (before - self.window.len()) as u64;
        self.counts.dropped += dropped;
        self.pending = self.pending.saturating_sub(dropped);
    }

    /// From where to read back from disk, and how much there is room for; `None`
    /// if there is nothing to read.
    pub(super) fn to_load(&self) -> Option<(u64, usize)> {
        let room = self.most_loaded.saturating_sub(self.window.len());
        (room > 0 && self.loaded_to < self.written_to).then_some((self.loaded_to, room))
    }

    /// Adds what was read back; `next` is the number after the last that was
    /// read, of which `damaged` were of no use.
    pub(super) fn load(&mut self, events: Vec<Numbered>, next: u64, damaged: u64) {
        self.window.extend(events);
        self.loaded_to = self.loaded_to.max(next);
        self.counts.damaged += damaged;
        self.pending = self.pending.saturating_sub(damaged);
    }

    /// Moves on to what the disk has not taken, once all of the disk is read.
    /// True if there was something.
    pub(super) fn load_unwritten(&mut self) -> bool {
        if self.is_loaded() || self.loaded_to < self.written_to {
            return false;
        }
        let loaded_to = self.loaded_to;
        let from = self.unwritten.partition_point(|event| event.numbered.sequence < loaded_to);
        let room = self.most_loaded.saturating_sub(self.window.len());
        let before = self.window.len();
        let more = self.unwritten.range(from..).take(room).map(|event| event.numbered.clone());
        self.window.extend(more);
        if let Some(last) = self.window.back() {
            self.loaded_to = self.loaded_to.max(last.sequence + 1);
        }
        self.window.len() > before
    }

    /// Events up to this number need no keeping.
    pub(super) fn acknowledged_to(&self) -> u64 {
        self.acknowledged_to
    }

    /// Events that are not acknowledged.
    pub(super) fn pending(&self) -> u64 {
        self.pending
    }

    /// The oldest event that is not acknowledged, if it is in memory.
    pub(super) fn oldest(&self) -> Option<&EncodedEvent> {
        self.window.front().map(|event| &event.event)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}
