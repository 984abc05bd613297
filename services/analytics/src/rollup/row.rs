//! Rows of rollups as bytes: the sums of one series in one bucket for each outcome
//! that occurred, and their histograms apart from them. Such bytes may stand one
//! after the other, so the database puts rows together without reading them.
//! Part of the storage format.

use modash_histogram::{BUCKETS, Histogram};

use super::{
    measures::{Measures, Sum, Sums},
    packed::{pull, pull_list, push, push_list},
};

/// From where moments are counted, in microseconds since 1970: 2020.
const EPOCH_US: i64 = 1_577_836_800_000_000;

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

/// A row: sums, and histograms unless all are empty.
#[derive(Debug, Default)]
pub(crate) struct PackedRow {
    pub(crate) sums: Vec<u8>,
    pub(crate) histograms: Vec<u8>,
}

impl PackedRow {
    /// Adds what belongs to another outcome.
    pub(crate) fn push(&mut self, outcome: i16, measures: &Measures) {
        push_sums(&mut self.sums, outcome, &measures.sums);
        if measures.histograms().iter().any(|histogram| !histogram.is_empty()) {
            push(&mut self.histograms, outcome.cast_unsigned().into());
            for histogram in measures.histograms() {
                push_list(&mut self.histograms, histogram);
            }
        }
    }

    /// Empties it for the next row.
    pub(crate) fn clear(&mut self) {
        self.sums.clear();
        self.histograms.clear();
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
    push(bytes, outcome.cast_unsigned().into());
    push(bytes, fields);
    push(bytes, sums.requests.cast_unsigned());
    if let Some(last) = sums.last_started_us {
        push(bytes, last.wrapping_sub(EPOCH_US).cast_unsigned());
    }
    if sums.busy_us != 0 {
        push(bytes, sums.busy_us.cast_unsigned());
    }
    for sum in sums.sums().iter().filter(|sum| sum.with > 0) {
        push(bytes, sum.sum.cast_unsigned());
        if sum.with != sums.requests {
            push(bytes, sum.with.cast_unsigned());
        }
    }
    for count in [sums.without_usage, sums.with_estimated_usage] {
        if count != 0 {
            push(bytes, count.cast_unsigned());
        }
    }
    if let Some(cost) = sums.upstream_cost_usd {
        bytes.extend_from_slice(&cost.to_le_bytes());
    }
}

fn pull_sums(bytes: &mut &[u8]) -> Option<(i16, Sums)> {
    let outcome = u16::try_from(pull(bytes)?).ok()?.cast_signed();
    let fields = pull(bytes)?;
    let has = |field: u64| fields & field != 0;
    let mut number = |is: bool| if is { pull(bytes).map(u64::cast_signed) } else { Some(0) };
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
    sums.without_usage = number(has(WITHOUT_USAGE))?;
    sums.with_estimated_usage = number(has(ESTIMATED))?;
    if has(COST) {
        let (cost, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        sums.upstream_cost_usd = Some(f64::from_le_bytes(*cost));
    }
    sums.count_outcome(outcome, sums.requests);
    Some((outcome, sums))
}

/// The sums of rows that stand one after the other, with their outcomes; what
/// cannot be read ends them.
pub(crate) fn unpack_sums(mut bytes: &[u8]) -> impl Iterator<Item = (i16, Sums)> + '_ {
    std::iter::from_fn(move || pull_sums(&mut bytes))
}

/// The measures of one row, by outcome.
pub(crate) fn unpack_row(sums: &[u8], mut histograms: &[u8]) -> Vec<(i16, Measures)> {
    let measures = |(outcome, sums)| (outcome, Measures { sums, ..Measures::default() });
    let mut cells: Vec<(i16, Measures)> = unpack_sums(sums).map(measures).collect();
    while let Some(outcome) = pull_outcome(&mut histograms) {
        let Some((_, cell)) = cells.iter_mut().find(|(other, _)| *other == outcome) else { break };
        let mut read = |into: &mut Histogram| {
            pull_list(&mut histograms, |bucket, count| into.add(bucket, count)).is_some()
        };
        if !cell.histograms_mut().into_iter().all(&mut read) {
            break;
        }
    }
    cells
}

fn pull_outcome(bytes: &mut &[u8]) -> Option<i16> {
    u16::try_from(pull(bytes)?).ok().map(u16::cast_signed)
}

/// Histograms that are counted in place: thousands of rows are added up for one
/// answer.
struct Tally {
    group: i32,
    counts: Box<[[u64; BUCKETS as usize]; HISTOGRAMS]>,
}

impl Tally {
    fn new(group: i32) -> Self {
        Self { group, counts: Box::new([[0; BUCKETS as usize]; HISTOGRAMS]) }
    }

    fn histograms(&self) -> [Histogram; HISTOGRAMS] {
        // By reference: moved, they would be copied with all that is zero.
        std::array::from_fn(|place| {
            Histogram::from_buckets((0..).zip(self.counts[place].iter().copied()))
        })
    }
}

/// Adds up the histograms of rows that stand one after the other by what `group`
/// gives for their outcomes; those without a group do not count.
pub(crate) fn unpack_histograms(
    mut bytes: &[u8],
    group: impl Fn(i16) -> Option<i32>,
) -> Vec<(i32, [Histogram; HISTOGRAMS])> {
    let mut tallies: Vec<Tally> = Vec::new();
    'rows: while let Some(outcome) = pull_outcome(&mut bytes) {
        let tally = group(outcome).map(|group| {
            tallies.iter().position(|tally| tally.group == group).unwrap_or_else(|| {
                tallies.push(Tally::new(group));
                tallies.len() - 1
            })
        });
        for place in 0..HISTOGRAMS {
            let read = match tally {
                Some(at) => {
                    let counts = &mut tallies[at].counts[place];
                    pull_list(&mut bytes, |bucket, count| {
                        let sum = &mut counts[bucket as usize];
                        *sum = sum.saturating_add(count);
                    })
                }
                None => pull_list(&mut bytes, |_, _| {}),
            };
            if read.is_none() {
                break 'rows;
            }
        }
    }
    tallies.iter().map(|tally| (tally.group, tally.histograms())).collect()
}

#[cfg(test)]
mod tests {
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
            prop::array::uniform5(histogram()),
        )
            .prop_map(|(counts, tokens, last, cost, histograms)| {
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
                row.push(outcome, &measures);
                measures.sums.count_outcome(outcome, measures.sums.requests);
                expected.push((outcome, measures));
            }
            prop_assert_eq!(unpack_row(&row.sums, &row.histograms), expected);
        }

        #[test]
        fn histograms_of_rows_that_stand_one_after_the_other_add_up(
            rows in prop::collection::vec((0_i16..4, measures()), 0..6)
        ) {
            let mut bytes = PackedRow::default();
            let mut expected = Measures::default();
            for (outcome, measures) in &rows {
                bytes.push(*outcome, measures);
                if *outcome != 3 {
                    expected.merge(&Measures { sums: Sums::default(), ..measures.clone() });
                }
            }
            let found = unpack_histograms(&bytes.histograms, |outcome| (outcome != 3).then_some(7));
            let found = found.into_iter().next().map(|(_, histograms)| histograms);
            prop_assert_eq!(found.unwrap_or_default(), expected.histograms().map(Clone::clone));
        }

        #[test]
        fn bytes_that_are_no_row_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            unpack_row(&bytes, &bytes);
            unpack_histograms(&bytes, |_| Some(0));
        }
    }
}
