//! What the stream to analytics does with the spool: takes events in their order, and
//! tells which of them are committed.

use super::{Place, Renumbered, Spool, Substituted};
use crate::usage_event::EncodedEvent;

impl Spool {
    /// A new stream begins with what is not acknowledged.
    pub(in crate::emit) fn rewind(&mut self) -> Place {
        self.next_to_send = self.window.front().map_or(self.loaded_to, |event| event.sequence);
        Place { numbering: self.numbering, next_sequence: self.next_to_send }
    }

    /// The next events to send with the sequence number of the first: at most `most`, and
    /// together of at most `bytes`, unless one alone has more. Empty if all are sent, or
    /// `window` are sent and not acknowledged.
    pub(in crate::emit) fn next_batch(
        &mut self,
        place: Place,
        most: usize,
        bytes: usize,
        window: usize,
    ) -> Result<(u64, Vec<EncodedEvent>), Renumbered> {
        if place.numbering != self.numbering {
            return Err(Renumbered);
        }
        let (first, sent) = (self.next_to_send, self.under_way());
        let mut room = bytes;
        let events: Vec<_> = self
            .window
            .range(sent..)
            .take(most.min(window.saturating_sub(sent)))
            .zip(first..)
            .take_while(|(event, expected)| event.sequence == *expected)
            .map(|(event, _)| event.event.clone())
            .take_while(|event| {
                let fits = event.len() <= room || room == bytes;
                room = room.saturating_sub(event.len());
                fits
            })
            .collect();
        // Behind a gap another stream goes on, when this one has its answers.
        if events.is_empty() && sent == 0 && window > 0 && !self.window.is_empty() {
            return Err(Renumbered);
        }
        self.next_to_send += events.len() as u64;
        self.counts.sent += events.len() as u64;
        Ok((first, events))
    }

    /// On the next stream another event stands in for the oldest. Segment files and
    /// journals keep the event itself.
    pub(in crate::emit) fn substitute_oldest(
        &mut self,
        reason: String,
        stand_in: impl FnOnce(&EncodedEvent) -> EncodedEvent,
    ) {
        if let Some(oldest) = self.window.front_mut() {
            let stand_in = stand_in(&oldest.event);
            let (sequence, event) =
                (oldest.sequence, std::mem::replace(&mut oldest.event, stand_in));
            self.substituted = Some(Substituted { sequence, event, reason });
        }
    }

    /// If the oldest event has a stand-in, it is in its own place again.
    pub(in crate::emit) fn restore_oldest(&mut self) {
        if let (Some(own), Some(oldest)) = (self.substituted.take(), self.window.front_mut())
            && own.sequence == oldest.sequence
        {
            oldest.event = own.event;
        }
    }

    /// The event that has a stand-in, if that is the first of a batch.
    pub(in crate::emit) fn substituted(&self, first: u64) -> Option<&Substituted> {
        self.substituted.as_ref().filter(|substituted| substituted.sequence == first)
    }

    /// Events up to this sequence number are committed or rejected.
    pub(in crate::emit) fn acknowledge(&mut self, place: Place, sequence: u64) {
        if place.numbering != self.numbering {
            return;
        }
        let committed = sequence.min(self.next_to_send.saturating_sub(1));
        let count = self.window.partition_point(|event| event.sequence <= committed);
        self.window.drain(..count);
        self.note_safe(committed + 1);
        let taken = self.unwritten.partition_point(|event| event.numbered.sequence <= committed);
        self.forget_unwritten(taken);
        self.acknowledged_to = self.acknowledged_to.max(committed);
        self.counts.acknowledged += count as u64;
        self.pending = self.pending.saturating_sub(count as u64);
    }

    /// An event was refused for good.
    pub(in crate::emit) fn note_rejected(&mut self) {
        self.counts.rejected += 1;
    }

    /// Events that are sent and not acknowledged.
    pub(in crate::emit) fn under_way(&self) -> usize {
        self.window.partition_point(|event| event.sequence < self.next_to_send)
    }
}
