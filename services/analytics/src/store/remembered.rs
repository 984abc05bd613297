//! Sums of parts of ranges that were read before. A page of months asks again and again,
//! each time for a range that ends a little later: nearly all buckets of it are the same
//! ones, and were not written to since.

use std::{
    hash::Hash as _,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use super::{Depth, Members, Selection, cache::Cache, dimensions::Canonical, writes::Writes};
use crate::rollup::{Level, Measures, Segment};

/// Bytes of all that is remembered.
const BYTES: usize = 32 << 20;

/// Nothing is remembered for longer: the database forgets writes after a week.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Measures of a segment by group.
pub(super) type Parts = Arc<[(i32, Measures)]>;

/// What was read of segments, by everybody who asks this process.
#[derive(Debug)]
pub(super) struct Remembered(Mutex<Cache<Part>>);

#[derive(Debug, Clone)]
struct Part {
    parts: Parts,
    /// The last write of the snapshot that it was read in.
    write: i64,
    read_at: Instant,
}

/// What is asked of segments: of which series in which groups, how deep, and of which
/// database.
pub(super) struct Question {
    digest: [u8; 32],
    pub(super) depth: Depth,
}

impl Default for Remembered {
    fn default() -> Self {
        Self(Mutex::new(Cache::of_owners(BYTES, |part| bytes_of(&part.parts))))
    }
}

impl Question {
    pub(super) fn new(
        selection: &Selection,
        members: &Members,
        depth: Depth,
        writes: &Writes,
    ) -> Self {
        let mut digest = Digesting(Sha256::new());
        (writes.lineage, members.sets, depth == Depth::Distributions).hash(&mut digest);
        (members.by_outcome, selection.outcomes()).hash(&mut digest);
        (&members.series, &members.groups).hash(&mut digest);
        Self { digest: digest.0.finalize().into(), depth }
    }

    fn of(&self, level: Level, segment: &Segment) -> Canonical {
        let bounds = [segment.start, segment.end].map(|at| at.timestamp().to_le_bytes());
        [self.digest.as_slice(), &level.width.to_le_bytes(), bounds.as_flattened()].concat().into()
    }
}

impl Remembered {
    /// What was read of a segment, if it holds in a snapshot that knows of these writes.
    pub(super) fn find(
        &self,
        question: &Question,
        level: Level,
        segment: &Segment,
        writes: &Writes,
    ) -> Option<Parts> {
        let part = self.cache().get(&question.of(level, segment))?;
        let holds = writes.hold(part.write, segment.end) && part.read_at.elapsed() < LONGEST;
        holds.then_some(part.parts)
    }

    /// Remembers what a snapshot that knows of these writes read of a segment, unless what
    /// comes next will change it.
    pub(super) fn keep(
        &self,
        question: &Question,
        level: Level,
        segment: &Segment,
        writes: &Writes,
        parts: &[(i32, Measures)],
    ) {
        if writes.are_after(segment.end) {
            // A copy has no room for more.
            let (parts, write) = (parts.into(), writes.last());
            let part = Part { parts, write, read_at: Instant::now() };
            self.cache().insert(question.of(level, segment), part);
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(parts: &Parts) -> usize {
    let histograms = parts.iter().flat_map(|(_, measures)| measures.histograms());
    let buckets: usize = histograms.map(|histogram| histogram.buckets().len()).sum();
    mem::size_of_val::<[_]>(parts) + buckets * mem::size_of::<(u32, u64)>()
}

/// Takes values in the form that their types hash.
struct Digesting(Sha256);

impl std::hash::Hasher for Digesting {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
