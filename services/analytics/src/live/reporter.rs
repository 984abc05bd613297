//! One stream that reports what runs: changes, snapshots, and snapshots in parts.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use modash_proto::v1::{LiveUpdate, SnapshotPart};
use prost::Message as _;
use uuid::Uuid;

use super::{Live, state::Source};

/// Longest running request, encoded, that is taken.
const MAX_REQUEST_BYTES: usize = 4 * 1024;

/// Most requests that the parts of one snapshot may name.
const MAX_NAMED: usize = 200_000;

/// The reports of one stream.
#[derive(Debug)]
pub(crate) struct Reporter {
    live: Arc<Live>,
    stream: u64,
    /// A snapshot of which not all parts have arrived.
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    /// Index of the next part.
    next: u32,
    /// Requests named since the first part.
    named: HashSet<Uuid>,
}

impl Live {
    /// A stream that will report.
    pub(crate) fn reporter(self: &Arc<Self>) -> Reporter {
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        Reporter { live: Arc::clone(self), stream, parts: None }
    }
}

impl Reporter {
    /// Takes a report.
    pub(crate) fn update(&mut self, update: LiveUpdate) {
        let mut state = self.live.state();
        let mut named = HashSet::new();
        for request in update.requests {
            let Ok(id) = Uuid::try_parse(&request.event_id) else { continue };
            named.insert(id);
            if request.encoded_len() <= MAX_REQUEST_BYTES {
                state.put(id, request, Source::stream(self.stream));
            }
        }
        if update.snapshot {
            self.parts = None;
            state.end_unnamed(self.stream, &named);
        } else if let Some(named) = collect(&mut self.parts, update.part, named) {
            state.end_unnamed(self.stream, &named);
        }
    }
}

/// Adds an update to the snapshot that is being collected. Gives all requests
/// named since its first part once the last one is there.
fn collect(
    collected: &mut Option<Parts>,
    part: Option<SnapshotPart>,
    named: HashSet<Uuid>,
) -> Option<HashSet<Uuid>> {
    if let Some(SnapshotPart { index: 0, .. }) = part {
        *collected = Some(Parts { next: 0, named: HashSet::new() });
    }
    let parts = collected.as_mut()?;
    parts.named.extend(named);
    let is_next = part.is_none_or(|part| part.index == parts.next);
    // Live updates may be dropped: without one part the others prove nothing.
    if !is_next || parts.named.len() > MAX_NAMED {
        *collected = None;
        return None;
    }
    let part = part?;
    parts.next += 1;
    if part.last { collected.take().map(|parts| parts.named) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(number: u128) -> HashSet<Uuid> {
        HashSet::from([Uuid::from_u128(number)])
    }

    fn part(index: u32, last: bool) -> Option<SnapshotPart> {
        Some(SnapshotPart { index, last })
    }

    #[test]
    fn a_snapshot_is_complete_with_its_last_part_and_includes_what_came_between() {
        let mut parts = None;
        assert_eq!(collect(&mut parts, part(0, false), named(1)), None);
        assert_eq!(collect(&mut parts, None, named(2)), None);
        let all = collect(&mut parts, part(1, true), named(3)).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(collect(&mut parts, part(2, true), named(4)), None, "it is over");
    }

    #[test]
    fn a_snapshot_that_lacks_a_part_proves_nothing() {
        let mut parts = None;
        assert_eq!(collect(&mut parts, part(0, false), named(1)), None);
        assert_eq!(collect(&mut parts, part(2, true), named(2)), None);
        assert_eq!(collect(&mut parts, part(1, true), named(2)), None);
        assert_eq!(collect(&mut parts, part(0, true), named(3)), Some(named(3)));
    }
}
