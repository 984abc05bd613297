//! Rows of rollups as bytes: the sums of one series in one bucket for each outcome
//! that occurred, and apart from them their histograms and errors. Such bytes may stand one
//! after the other, so the database puts rows together without reading them; the part
//! of each outcome therefore begins with the version of the format. Part of the storage
//! format.

use std::cell::RefCell;

use modash_histogram::{BUCKETS, Histogram};

use super::{
    errors::{push_errors, unpack_by_outcome},
    measures::{Measures, Sum, Sums},
    packed::{pull, pull_list, push, push_list},
};

/// Version of the format that this code writes, and the newest that it reads.
const VERSION: u64 = 1;

/// From where moments are counted, in microseconds since 1970: 2020.
pub(super) const EPOCH_US: i64 = 1_577_836_800_000_000;

/// Histograms of a row.
const HISTOGRAMS: usize = 5;

// Which fields follow the number of requests, in this order. A token count is
// there if a request had one; how many had it, if not all.
const LAST: u64 = 1;
const BUSY: u64 = 1 << 1;
const TOKENS: u64 = 1 << 2;
const WITHOUT_USAGE: u64 = 1 << 8;
const ESTIMATED: u64 = 1 << 9;
const COST: u64 = 1 << 10;
const WITH: u64 = 1 << 11;
const KNOWN_COST: u64 = 1 << 17;
const WITH_KNOWN_COST: u64 = 1 << 18;
const UNKNOWN_COST: u64 = 1 << 19;
const CACHE_SAVING: u64 = 1 << 20;
const ESTIMATED_COST: u64 = 1 << 21;

/// Why bytes are no rows. Reading on without them would make sums smaller than they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackedError {
    /// A newer version of analytics wrote them.
    #[error(
        "rollups of version {0} are newer than this analytics, which reads {VERSION}; \
         upgrade it, or rebuild the rollups with it"
    )]
    Newer(u64),
    /// They are damaged.
    #[error("a row of rollups is damaged; rebuild the rollups")]
    Damaged,
}

/// A row: sums, histograms and errors, as far as there are any.
#[derive(Debug, Default)]
pub(crate) struct PackedRow {
    pub(crate) sums: Vec<u8>,
    pub(crate) histograms: Vec<u8>,
    pub(crate) errors: Vec<u8>,
}

impl PackedRow {
    /// Adds what belongs to another outcome, its errors only `with_errors`.
    pub(crate) fn push(&mut self, outcome: i16, measures: &Measures, with_errors: bool) {
        // Narrow sets of errors have nothing else.
        if measures.errors.is_empty() || measures.sums != Sums::default() {
            push_sums(&mut self.sums, outcome, &measures.sums);
        }
        if measures.histograms().iter().any(|histogram| !histogram.is_empty()) {
            push_version(&mut self.histograms, outcome);
            for histogram in measures.histograms() {
                push_list(&mut self.histograms, histogram);
            }
        }
        if with_errors && !measures.errors.is_empty() {
            push_errors(&mut self.errors, outcome, &measures.errors);
        }
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty() && self.histograms.is_empty() && self.errors.is_empty()
    }

    /// Empties it for the next row.
    pub(crate) fn clear(&mut self) {
        self.sums.clear();
        self.histograms.clear();
        self.errors.clear();
    }
}

fn push_sums(bytes: &mut Vec<u8>, outcome: i16, sums: &Sums) {
    let mut fields = 0;
    let mut mark = |field: u64, is: bool| fields |= if is { field } else { 0 };
    mark(LAST, sums.last_started_us.is_some());
    mark(BUSY, sums.busy_us != 0);
    for (place, sum) in sums.sums().iter().enumerate() {
        mark(TOKENS << place, sum.with > 0);
        mark(WITH << place, sum.with > 0 && sum.with != sums.requests);
    }
    mark(WITHOUT_USAGE, sums.without_usage != 0);
    mark(ESTIMATED, sums.with_estimated_usage != 0);
    mark(COST, sums.upstream_cost_usd.is_some());
    let cost = &sums.cost;
    mark(KNOWN_COST, cost.known.with > 0);
    mark(WITH_KNOWN_COST, cost.known.with > 0 && cost.known.with != sums.requests);
    mark(UNKNOWN_COST, cost.unknown != 0);
    mark(CACHE_SAVING, cost.cache_saving != 0);
    mark(ESTIMATED_COST, cost.estimated != 0);
    push_version(bytes, outcome);
    push(bytes, fields);
    push(bytes, sums.requests.cast_unsigned());
    if let Some(last) = sums.last_started_us {
        push(bytes, last.wrapping_sub(EPOCH_US).cast_unsigned());
    }
    if sums.busy_us != 0 {
        push(bytes, sums.busy_us.cast_unsigned());
    }
    for sum in sums.sums().iter().chain([&cost.known]).filter(|sum| sum.with > 0) {
        push(bytes, sum.sum.cast_unsigned());
        if sum.with != sums.requests {
            push(bytes, sum.with.cast_unsigned());
        }
    }
    let saving = zigzag(cost.cache_saving);
    for count in
        [cost.unknown, saving, cost.estimated, sums.without_usage, sums.with_estimated_usage]
    {
        if count != 0 {
            push(bytes, count.cast_unsigned());
        }
    }
    if let Some(cost) = sums.upstream_cost_usd {
        bytes.extend_from_slice(&cost.to_le_bytes());
    }
}

/// Small numbers for small amounts of either sign.
fn zigzag(number: i64) -> i64 {
    (number << 1) ^ (number >> 63)
}

fn unzigzag(number: i64) -> i64 {
    (number.cast_unsigned() >> 1).cast_signed() ^ -(number & 1)
}

/// Begins the part of an outcome.
pub(super) fn push_version(bytes: &mut Vec<u8>, outcome: i16) {
    push(bytes, VERSION);
    push(bytes, outcome.cast_unsigned().into());
}

/// Takes the version of the next part; `None` at the end.
pub(super) fn pull_version(bytes: &mut &[u8]) -> Option<Result<(), PackedError>> {
    if bytes.is_empty() {
        return None;
    }
    Some(match pull(bytes) {
        Some(VERSION) => Ok(()),
        Some(newer @ 2..) => Err(PackedError::Newer(newer)),
        _ => Err(PackedError::Damaged),
    })
}

fn pull_sums(bytes: &mut &[u8]) -> Option<(i16, Sums)> {
    // As in `pull_list`.
    let mut rest = *bytes;
    let outcome = pull_outcome(&mut rest)?;
    let fields = pull(&mut rest)?;
    let has = |field: u64| fields & field != 0;
    let mut number = |is: bool| if is { pull(&mut rest).map(u64::cast_signed) } else { Some(0) };
    let mut sums = Sums::default();
    sums.requests = number(true)?;
    if has(LAST) {
        sums.last_started_us = Some(number(true)?.wrapping_add(EPOCH_US));
    }
    sums.busy_us = number(has(BUSY))?;
    for place in 0..sums.sums().len() {
        if has(TOKENS << place) {
            let sum = number(true)?;
            let with = if has(WITH << place) { number(true)? } else { sums.requests };
            *sums.sum_mut(place) = Sum { sum, with };
        }
    }
    if has(KNOWN_COST) {
        let sum = number(true)?;
        let with = if has(WITH_KNOWN_COST) { number(true)? } else { sums.requests };
        sums.cost.known = Sum { sum, with };
    }
    sums.cost.unknown = number(has(UNKNOWN_COST))?;
    sums.cost.cache_saving = unzigzag(number(has(CACHE_SAVING))?);
    sums.cost.estimated = number(has(ESTIMATED_COST))?;
    sums.without_usage = number(has(WITHOUT_USAGE))?;
    sums.with_estimated_usage = number(has(ESTIMATED))?;
    if has(COST) {
        let (cost, behind) = rest.split_first_chunk()?;
        rest = behind;
        sums.upstream_cost_usd = Some(f64::from_le_bytes(*cost));
    }
    *bytes = rest;
    sums.count_outcome(outcome, sums.requests);
    Some((outcome, sums))
}

/// The sums of rows that stand one after the other, with their outcomes; an error ends
/// them.
pub(crate) fn unpack_sums(
    mut bytes: &[u8],
) -> impl Iterator<Item = Result<(i16, Sums), PackedError>> + '_ {
    std::iter::from_fn(move || {
        let part = pull_version(&mut bytes)?
            .and_then(|()| pull_sums(&mut bytes).ok_or(PackedError::Damaged));
        if part.is_err() {
            bytes = &[];
        }
        Some(part)
    })
}

/// The measures of one row, by outcome.
///
/// # Errors
/// If the row is damaged, or of a newer version.
pub(crate) fn unpack_row(
    sums: &[u8],
    mut histograms: &[u8],
    errors: &[u8],
) -> Result<Vec<(i16, Measures)>, PackedError> {
    let measures = |(outcome, sums)| (outcome, Measures { sums, ..Measures::default() });
    let mut cells: Vec<(i16, Measures)> =
        unpack_sums(sums).map(|part| part.map(measures)).collect::<Result<_, _>>()?;
    while let Some(version) = pull_version(&mut histograms) {
        version?;
        let outcome = pull_outcome(&mut histograms).ok_or(PackedError::Damaged)?;
        let cell = cells.iter_mut().find(|(other, _)| *other == outcome);
        let (_, cell) = cell.ok_or(PackedError::Damaged)?;
        for into in cell.histograms_mut() {
            let read = pull_list(&mut histograms, |bucket, count| into.add(bucket, count));
            read.ok_or(PackedError::Damaged)?;
        }
    }
    unpack_by_outcome(errors, |outcome, add| {
        let at = cells.iter().position(|(other, _)| *other == outcome).unwrap_or_else(|| {
            cells.push((outcome, Measures::default()));
            cells.len() - 1
        });
        add(&mut cells[at].1.errors);
    })?;
    Ok(cells)
}

pub(super) fn pull_outcome(bytes: &mut &[u8]) -> Option<i16> {
    u16::try_from(pull(bytes)?).ok().map(u16::cast_signed)
}

/// The reach of histograms without counts.
const NOTHING: [(u32, u32); HISTOGRAMS] = [(BUCKETS, 0); HISTOGRAMS];

/// Histograms that are counted in place: thousands of rows are added up for one
/// answer.
struct Tally {
    group: i32,
    counts: Box<[[u64; BUCKETS as usize]; HISTOGRAMS]>,
    /// First and last bucket of each that may hold something.
    reach: [(u32, u32); HISTOGRAMS],
}

thread_local! {
    /// Tallies without counts: to make one takes longer than to add a row to it.
    static SPARE: RefCell<Vec<Tally>> = const { RefCell::new(Vec::new()) };
}

/// Tallies that a thread keeps.
const MOST_SPARE: usize = 4;

impl Tally {
    fn new(group: i32) -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Self {
            group,
            counts: Box::new([[0; BUCKETS as usize]; HISTOGRAMS]),
            reach: NOTHING,
        });
        Self { group, ..spare }
    }

    /// Takes what it counted.
    fn finish(mut self) -> (i32, [Histogram; HISTOGRAMS]) {
        // By reference: moved, they would be copied with all that is zero.
        let histograms = std::array::from_fn(|place| {
            let (first, last) = self.reach[place];
            let counts = &mut self.counts[place];
            let take = |bucket: u32| (bucket, std::mem::take(&mut counts[bucket as usize]));
            Histogram::from_buckets((first..=last).map(take))
        });
        let group = self.group;
        self.reach = NOTHING;
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MOST_SPARE {
                spare.push(self);
            }
        });
        (group, histograms)
    }
}

/// Adds up the histograms of rows that stand one after the other by what `group`
/// gives for their outcomes; those without a group do not count.
///
/// # Errors
/// If a row is damaged, or of a newer version.
pub(crate) fn unpack_histograms(
    mut bytes: &[u8],
    group: impl Fn(i16) -> Option<i32>,
) -> Result<Vec<(i32, [Histogram; HISTOGRAMS])>, PackedError> {
    let mut tallies: Vec<Tally> = Vec::new();
    while let Some(version) = pull_version(&mut bytes) {
        version?;
        let outcome = pull_outcome(&mut bytes).ok_or(PackedError::Damaged)?;
        let tally = group(outcome).map(|group| {
            tallies.iter().position(|tally| tally.group == group).unwrap_or_else(|| {
                tallies.push(Tally::new(group));
                tallies.len() - 1
            })
        });
        for place in 0..HISTOGRAMS {
            let read = match tally {
                Some(at) => {
                    let tally = &mut tallies[at];
                    let counts = &mut tally.counts[place];
                    let read = pull_list(&mut bytes, |bucket, count| {
                        let sum = &mut counts[bucket as usize];
                        *sum = sum.saturating_add(count);
                    });
                    read.map(|(first, last)| {
                        let reach = &mut tally.reach[place];
                        *reach = (reach.0.min(first), reach.1.max(last));
                    })
                }
                None => pull_list(&mut bytes, |_, _| {}).map(drop),
            };
            read.ok_or(PackedError::Damaged)?;
        }
    }
    Ok(tallies.into_iter().map(Tally::finish).collect())
}

#[cfg(test)]
mod tests {
    use super::super::measures::CostSums;
    use super::*;
    use proptest::prelude::*;

    fn measures() -> impl Strategy<Value = Measures> {
        let number = || {
            prop_oneof![Just(0_i64), 1..300_i64, any::<u32>().prop_map(i64::from), Just(i64::MAX)]
        };
        let histogram = || {
            prop::collection::vec(
                (0_u32..BUCKETS, prop_oneof![Just(1_u64), 2..1_000_000_u64]),
                0..9,
            )
            .prop_map(Histogram::from_buckets)
        };
        (
            prop::array::uniform4(number()),
            prop::array::uniform6((number(), number())),
            prop::option::of(-1_000_000_000_000_000_i64..4_000_000_000_000_000),
            prop::option::of(0.0..1e6_f64),
            (prop::array::uniform4(number()), any::<i64>()),
            prop::array::uniform5(histogram()),
        )
            .prop_map(|(counts, tokens, last, cost, (costs, saving), histograms)| {
                let mut all = Measures::default();
                [
                    all.sums.requests,
                    all.sums.busy_us,
                    all.sums.without_usage,
                    all.sums.with_estimated_usage,
                ] = counts;
                for (place, (sum, with)) in tokens.into_iter().enumerate() {
                    let sum = if with > 0 { sum } else { 0 };
                    *all.sums.sum_mut(place) = Sum { sum, with };
                }
                all.sums.last_started_us = last;
                all.sums.upstream_cost_usd = cost;
                let [sum, with, unknown, estimated] = costs;
                let known = Sum { sum: if with > 0 { sum } else { 0 }, with };
                all.sums.cost = CostSums { known, cache_saving: saving, unknown, estimated };
                for (into, histogram) in all.histograms_mut().into_iter().zip(histograms) {
                    *into = histogram;
                }
                all
            })
    }

    proptest! {
        #[test]
        fn a_row_survives_packing(cells in prop::collection::btree_map(0_i16..20, measures(), 1..5)) {
            let mut row = PackedRow::default();
            let mut expected = Vec::new();
            for (outcome, mut measures) in cells {
                row.push(outcome, &measures, true);
                measures.sums.count_outcome(outcome, measures.sums.requests);
                expected.push((outcome, measures));
            }
            prop_assert_eq!(unpack_row(&row.sums, &row.histograms, &row.errors), Ok(expected));
        }

        #[test]
        fn histograms_of_rows_that_stand_one_after_the_other_add_up(
            rows in prop::collection::vec((0_i16..4, measures()), 0..6)
        ) {
            let mut bytes = PackedRow::default();
            let mut expected = Measures::default();
            for (outcome, measures) in &rows {
                bytes.push(*outcome, measures, true);
                if *outcome != 3 {
                    expected.merge(&Measures { sums: Sums::default(), ..measures.clone() });
                }
            }
            let found = unpack_histograms(&bytes.histograms, |outcome| (outcome != 3).then_some(7));
            let found = found.unwrap().into_iter().next().map(|(_, histograms)| histograms);
            prop_assert_eq!(found.unwrap_or_default(), expected.histograms().map(Clone::clone));
        }

        #[test]
        fn bytes_that_are_no_row_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = unpack_row(&bytes, &bytes, &bytes);
            let _ = unpack_histograms(&bytes, |_| Some(0));
        }
    }

    #[test]
    fn a_newer_or_damaged_row_is_an_error_and_no_smaller_sum() {
        let mut measures = Measures::default();
        measures.sums.requests = 7;
        measures.duration_us.add(3, 7);
        let mut row = PackedRow::default();
        row.push(1, &measures, true);
        let newer = |bytes: &[u8]| [&[2], &bytes[1..]].concat();
        let (sums, histograms) = (newer(&row.sums), newer(&row.histograms));
        assert_eq!(unpack_row(&sums, &row.histograms, &[]), Err(PackedError::Newer(2)));
        assert_eq!(unpack_row(&row.sums, &histograms, &[]), Err(PackedError::Newer(2)));
        assert_eq!(unpack_histograms(&histograms, |_| Some(0)).err(), Some(PackedError::Newer(2)));
        // Behind a row that can be read, too.
        let both: Vec<_> = unpack_sums(&[row.sums.clone(), sums].concat()).collect();
        assert_eq!((both.len(), both[1].clone()), (2, Err(PackedError::Newer(2))));
        let torn = &row.sums[..row.sums.len() - 1];
        assert_eq!(unpack_sums(torn).last(), Some(Err(PackedError::Damaged)));
    }
}
