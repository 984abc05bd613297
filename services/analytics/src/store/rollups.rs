//! Rollups in the database: what a commit adds, the tables of the levels, and
//! which levels are complete.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sqlx::{Row as _, postgres::PgRow};

use super::{
    Error,
    copy::CopyRows,
    pool::{Pool, Transaction},
    traced::Traced as _,
    writes::Writes,
};
use crate::{
    config::RollupDays,
    rollup::{Horizon, Key, LEVELS, Level, Measures, PackedRow, Rollups, Sets, unpack_row},
};

/// Columns of a row.
pub(super) const COLUMNS: i16 = 6;

/// Bytes of sums from which on a row would not fit into an index (2,700).
const LONGEST_SUMS: usize = 2_400;

/// Outcomes that such a row still tells apart.
const OUTCOMES: Range<i16> = 0..14;

/// A partition: its level, whose rollups, its first day.
pub(super) type Partition = (Level, Sets, NaiveDate);

/// Rollups, those of narrow cubes and of full sets apart.
#[derive(Debug, Default)]
pub(super) struct BothSets {
    pub(super) narrow: Rollups,
    pub(super) full: Rollups,
}

impl BothSets {
    pub(super) fn is_empty(&self) -> bool {
        self.narrow.is_empty() && self.full.is_empty()
    }

    pub(super) fn each(&self) -> [(Sets, &Rollups); 2] {
        [(Sets::Narrow, &self.narrow), (Sets::Full, &self.full)]
    }

    pub(super) fn of_mut(&mut self, sets: Sets) -> &mut Rollups {
        match sets {
            Sets::Narrow => &mut self.narrow,
            Sets::Full => &mut self.full,
        }
    }
}

/// What the database holds, of narrow cubes and of full sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizons {
    pub(super) narrow: Horizon,
    pub(super) full: Horizon,
}

impl Horizons {
    pub(super) fn of(&self, sets: Sets) -> &Horizon {
        match sets {
            Sets::Narrow => &self.narrow,
            Sets::Full => &self.full,
        }
    }

    pub(super) fn of_mut(&mut self, sets: Sets) -> &mut Horizon {
        match sets {
            Sets::Narrow => &mut self.narrow,
            Sets::Full => &mut self.full,
        }
    }
}

/// What is known of the levels and their partitions.
#[derive(Debug)]
pub(super) struct Levels {
    days: RollupDays,
    partitions: Mutex<HashSet<Partition>>,
}

/// A bucket as the database has it: minutes since 1970.
pub(super) fn minutes(at: DateTime<Utc>) -> i32 {
    i32::try_from(at.timestamp().div_euclid(60)).unwrap_or(if at.timestamp() < 0 {
        i32::MIN
    } else {
        i32::MAX
    })
}

/// The moment of a bucket.
pub(super) fn moment(minutes: i32) -> DateTime<Utc> {
    DateTime::from_timestamp(i64::from(minutes) * 60, 0).unwrap_or_default()
}

/// A row: series, bucket, sums, histograms, errors in columns `at` to `at + 4`.
pub(super) fn decode(row: &PgRow, at: usize) -> Result<Vec<(Key, Measures)>, Error> {
    let (series_id, bucket) = (row.try_get(at)?, moment(row.try_get(at + 1)?));
    let histograms: Option<&[u8]> = row.try_get(at + 3)?;
    let errors: Option<&[u8]> = row.try_get(at + 4)?;
    let (histograms, errors) = (histograms.unwrap_or_default(), errors.unwrap_or_default());
    let cells = unpack_row(row.try_get(at + 2)?, histograms, errors)?.into_iter();
    let keyed = cells.map(|(outcome, all)| (Key { series_id, bucket, outcome }, all));
    Ok(keyed.collect())
}

/// Packs the cells of one row. An entry of an index has room for the outcomes of
/// the contract, whatever their sums; should a newer one have so many more that a
/// row is too long, those count as unspecified in it.
fn pack(row: &mut PackedRow, cells: &[(&Key, &Measures)], with_errors: bool) {
    row.clear();
    cells.iter().for_each(|(key, measures)| row.push(key.outcome, measures, with_errors));
    if row.sums.len() <= LONGEST_SUMS {
        return;
    }
    let mut known: BTreeMap<i16, Measures> = BTreeMap::new();
    for (key, measures) in cells {
        let outcome = if OUTCOMES.contains(&key.outcome) { key.outcome } else { 0 };
        known.entry(outcome).or_default().merge(measures);
    }
    row.clear();
    known.iter().for_each(|(outcome, measures)| row.push(*outcome, measures, with_errors));
}

/// Adds rows in the order of their keys, their errors only `with_errors`.
pub(super) fn encode(copy: &mut CopyRows, rollups: &Rollups, number: i32, with_errors: bool) {
    let mut sorted: Vec<_> = rollups.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| **key);
    let mut packed = PackedRow::default();
    let same_row =
        |a: &(&Key, _), b: &(&Key, _)| (a.0.series_id, a.0.bucket) == (b.0.series_id, b.0.bucket);
    for cells in sorted.chunk_by(same_row) {
        pack(&mut packed, cells, with_errors);
        if packed.is_empty() {
            continue;
        }
        copy.row()
            .bigint(Some(cells[0].0.series_id))
            .integer(minutes(cells[0].0.bucket))
            .integer(number)
            .bytea(Some(&packed.sums))
            .bytea(Some(packed.histograms.as_slice()).filter(|bytes| !bytes.is_empty()))
            .bytea(Some(packed.errors.as_slice()).filter(|bytes| !bytes.is_empty()));
    }
}

/// Notes what a commit adds, by minute.
pub(super) async fn add_changes(
    connection: &mut Transaction,
    changes: &BothSets,
) -> Result<(), Error> {
    let mut copy = CopyRows::new(COLUMNS, changes.narrow.len() + changes.full.len());
    for (sets, rollups) in changes.each() {
        encode(&mut copy, rollups, LEVELS[0].number(sets), true);
    }
    copy.send(connection, include_str!("queries/copy_rollup_changes.sql"))
        .traced("copy_rollup_changes")
        .await
}

/// What the database holds.
pub(super) async fn horizons(connection: &mut Transaction) -> Result<Horizons, Error> {
    Ok(horizons_and_writes(connection).await?.0)
}

/// What the database holds, and how it came to that.
pub(super) async fn horizons_and_writes(
    connection: &mut Transaction,
) -> Result<(Horizons, Writes), Error> {
    let row = sqlx::query(include_str!("queries/rollup_levels.sql"))
        .fetch_one(connection)
        .traced("rollup_levels")
        .await?;
    let numbers: Vec<i32> = row.try_get::<Option<_>, _>(0)?.unwrap_or_default();
    let from: Vec<DateTime<Utc>> = row.try_get::<Option<_>, _>(1)?.unwrap_or_default();
    let levels: HashMap<i32, DateTime<Utc>> = numbers.into_iter().zip(from).collect();
    let dropped: Option<NaiveDate> = row.try_get(2)?;
    let requests_from = dropped.map_or(DateTime::<Utc>::MIN_UTC, midnight);
    let horizon = |sets| {
        let from = |level: Level| levels.get(&level.number(sets)).copied();
        let complete_from = LEVELS.map(|level| from(level).unwrap_or(DateTime::<Utc>::MAX_UTC));
        Horizon { complete_from, requests_from }
    };
    let horizons = Horizons { narrow: horizon(Sets::Narrow), full: horizon(Sets::Full) };
    let numbers: Vec<i64> = row.try_get::<Option<_>, _>(3)?.unwrap_or_default();
    let oldest: Vec<i32> = row.try_get::<Option<_>, _>(4)?.unwrap_or_default();
    let known = numbers.into_iter().zip(oldest).collect();
    let lineage = (row.try_get(5)?, row.try_get::<Option<_>, _>(6)?.unwrap_or_default());
    Ok((horizons, Writes { known, lineage }))
}

pub(super) fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// The same sums in the buckets of a wider level.
pub(super) fn widen(rollups: &Rollups, level: Level) -> Rollups {
    let mut wide = Rollups::with_capacity(rollups.len());
    for (key, measures) in rollups {
        let bucket = level.floor(key.bucket);
        wide.entry(Key { bucket, ..*key }).or_default().merge(measures);
    }
    wide
}

impl Levels {
    pub(super) fn new(days: RollupDays) -> Self {
        Self { days, partitions: Mutex::default() }
    }

    /// Days for which a level is kept.
    pub(super) fn days(&self, level: Level, sets: Sets) -> u32 {
        self.days.of(level, sets)
    }

    /// From when on a level is to be kept.
    pub(super) fn kept_from(&self, level: Level, sets: Sets, now: DateTime<Utc>) -> DateTime<Utc> {
        level.kept_from(now, self.days(level, sets))
    }

    /// Drops what is older than it is to be kept; gives how many partitions.
    pub(super) async fn maintain(&self, pool: &Pool, now: DateTime<Utc>) -> Result<i32, Error> {
        let mut dropped = 0;
        for (level, sets) in all_levels() {
            let from = self.kept_from(level, sets, now);
            let mut transaction = pool.begin().await?;
            lock(&mut transaction).await?;
            sqlx::query(include_str!("queries/forget_rollups_before.sql"))
                .bind(level.number(sets))
                .bind(from)
                .execute(&mut transaction)
                .await?;
            dropped +=
                sqlx::query_scalar::<_, i32>(include_str!("queries/drop_rollups_partitions.sql"))
                    .bind(level.number(sets))
                    .bind(from.date_naive())
                    .fetch_one(&mut transaction)
                    .await?;
            transaction.commit().await?;
            let oldest = from.date_naive();
            self.partitions()
                .retain(|(other, of, first)| (*other, *of) != (level, sets) || *first >= oldest);
        }
        Ok(dropped)
    }

    pub(super) fn partitions(&self) -> std::sync::MutexGuard<'_, HashSet<Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the partitions of these rollups; gives those that are to be
    /// remembered after the commit.
    pub(super) async fn ensure(
        &self,
        connection: &mut Transaction,
        level: Level,
        sets: Sets,
        rollups: &Rollups,
    ) -> Result<HashSet<Partition>, Error> {
        let wanted: HashSet<_> = rollups.keys().map(|key| level.partition(key.bucket)).collect();
        let mut made = HashSet::new();
        for (first, after) in wanted {
            if self.partitions().contains(&(level, sets, first)) {
                continue;
            }
            sqlx::query(include_str!("queries/create_rollups_partition.sql"))
                .bind(level.number(sets))
                .bind(first)
                .bind(after)
                .execute(&mut *connection)
                .await?;
            made.insert((level, sets, first));
        }
        Ok(made)
    }

    pub(super) fn remember(&self, made: HashSet<Partition>) {
        self.partitions().extend(made);
    }
}

/// Every level of both kinds of sets.
pub(super) fn all_levels() -> impl Iterator<Item = (Level, Sets)> {
    Sets::ALL.into_iter().flat_map(|sets| sets.levels().iter().map(move |level| (*level, sets)))
}

/// The rollups from a moment on.
pub(super) fn since(rollups: &Rollups, from: DateTime<Utc>) -> Cow<'_, Rollups> {
    let mut kept = Cow::Borrowed(rollups);
    if rollups.keys().any(|key| key.bucket < from) {
        kept.to_mut().retain(|key, _| key.bucket >= from);
    }
    kept
}

/// Waits until no other process changes rollups.
pub(super) async fn lock(connection: &mut Transaction) -> Result<(), Error> {
    sqlx::query(include_str!("queries/lock_rollups.sql")).execute(connection).await?;
    Ok(())
}

/// Adds rollups of a level where there are none.
pub(super) async fn add_to_level(
    connection: &mut Transaction,
    level: Level,
    sets: Sets,
    rollups: &Rollups,
) -> Result<(), Error> {
    if rollups.is_empty() {
        return Ok(());
    }
    let mut copy = CopyRows::new(COLUMNS, rollups.len());
    encode(&mut copy, rollups, level.number(sets), level.has_errors());
    copy.send(connection, include_str!("queries/copy_rollups.sql")).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::{CostSums, unpack_sums};

    #[test]
    fn a_row_fits_into_an_index_however_many_outcomes_and_however_large_its_sums() {
        let mut measures = Measures::default();
        measures.sums.requests = 2;
        measures.sums.busy_us = i64::MAX;
        measures.sums.last_started_us = Some(i64::MAX);
        for place in 0..6 {
            let slot = measures.sums.sum_mut(place);
            (slot.sum, slot.with) = (i64::MAX, 1);
        }
        measures.sums.without_usage = 1;
        measures.sums.upstream_cost_usd = Some(1.0);
        let known = measures.sums.sums()[0];
        let (cache_saving, unknown, estimated) = (i64::MIN, 1, 1);
        measures.sums.cost = CostSums { known, cache_saving, unknown, estimated };
        let key = |outcome| Key { series_id: 1, bucket: Utc::now(), outcome };
        let keys: Vec<Key> = (0..300).map(key).collect();
        let cells: Vec<_> = keys.iter().map(|key| (key, &measures)).collect();
        let mut row = PackedRow::default();
        pack(&mut row, &cells, true);
        assert!(row.sums.len() <= LONGEST_SUMS, "{}", row.sums.len());
        let requests: i64 = unpack_sums(&row.sums).map(|part| part.unwrap().1.requests).sum();
        assert_eq!(requests, 600);
        pack(&mut row, &cells[42..43], true);
        assert_eq!(unpack_sums(&row.sums).next().unwrap().unwrap().0, 42);
    }
}
