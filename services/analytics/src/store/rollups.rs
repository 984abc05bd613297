//! Rollups in the database: what a commit adds, how that is moved into the
//! levels, and which levels are complete.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sqlx::{PgConnection, PgPool, Row as _, postgres::PgRow};

use super::{Error, copy::CopyRows};
use crate::{
    config::RollupDays,
    rollup::{Horizon, Key, LEVELS, Level, Measures, Rollups, Sum, unpack_lists},
};

/// Columns of a row.
const COLUMNS: i16 = 27;

/// Changes that are moved in one transaction: some 30 MB at a time.
const CHANGES: i64 = 30_000;

/// What is known of the levels and their partitions.
#[derive(Debug)]
pub(super) struct Levels {
    days: RollupDays,
    partitions: Mutex<HashSet<(Level, NaiveDate)>>,
}

fn encode(copy: &mut CopyRows, level: Level, key: &Key, measures: &Measures) {
    let sums = &measures.sums;
    let present = |count: i64| Some(count).filter(|count| *count != 0);
    copy.row()
        .moment(Some(key.bucket))
        .bigint(Some(key.series_id))
        .bigint(Some(sums.requests))
        .moment(sums.last_started_at)
        .bigint(present(sums.busy_us));
    for sum in sums.sums() {
        copy.bigint((sum.with > 0).then_some(sum.sum));
    }
    for sum in sums.sums() {
        copy.bigint(present(sum.with).filter(|with| *with != sums.requests));
    }
    copy.bigint(present(sums.without_usage))
        .bigint(present(sums.with_estimated_usage))
        .double(sums.upstream_cost_usd)
        .integer(level.width)
        .smallint(Some(key.outcome));
    for histogram in measures.packed() {
        copy.bytea(histogram.as_deref());
    }
}

pub(super) fn decode(row: &PgRow) -> Result<(Key, Measures), sqlx::Error> {
    let count = |at: usize| row.try_get::<Option<i64>, _>(at).map(Option::unwrap_or_default);
    let key =
        Key { bucket: row.try_get(0)?, series_id: row.try_get(1)?, outcome: row.try_get(21)? };
    let mut measures = Measures::default();
    let sums = &mut measures.sums;
    sums.requests = row.try_get(2)?;
    sums.last_started_at = row.try_get(3)?;
    sums.busy_us = count(4)?;
    for place in 0..6 {
        if let Some(sum) = row.try_get(5 + place)? {
            let with = row.try_get::<Option<i64>, _>(11 + place)?.unwrap_or(sums.requests);
            *sums.sum_mut(place) = Sum { sum, with };
        }
    }
    sums.without_usage = count(17)?;
    sums.with_estimated_usage = count(18)?;
    sums.upstream_cost_usd = row.try_get(19)?;
    sums.count_outcome(key.outcome, sums.requests);
    for (place, histogram) in measures.histograms_mut().into_iter().enumerate() {
        if let Some(packed) = row.try_get::<Option<&[u8]>, _>(22 + place)? {
            *histogram = unpack_lists(packed);
        }
    }
    Ok((key, measures))
}

/// Rows in the order of their keys.
fn rows(rollups: &Rollups, level: Level) -> CopyRows {
    let mut sorted: Vec<_> = rollups.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| **key);
    let mut copy = CopyRows::new(COLUMNS, sorted.len());
    for (key, measures) in sorted {
        encode(&mut copy, level, key, measures);
    }
    copy
}

/// Notes what a commit adds, by minute.
pub(super) async fn add_changes(
    connection: &mut PgConnection,
    rollups: &Rollups,
) -> Result<(), Error> {
    let statement = include_str!("queries/copy_rollup_changes.sql");
    rows(rollups, LEVELS[0]).send(connection, statement).await
}

/// What the database holds.
pub(super) async fn horizon(connection: &mut PgConnection) -> Result<Horizon, Error> {
    let levels: Vec<(i32, DateTime<Utc>)> =
        sqlx::query_as(include_str!("queries/rollup_levels.sql"))
            .fetch_all(&mut *connection)
            .await?;
    let levels: HashMap<_, _> = levels.into_iter().collect();
    let dropped: Option<NaiveDate> = sqlx::query_scalar(include_str!("queries/dropped_before.sql"))
        .fetch_one(connection)
        .await?;
    let requests_from = dropped.map_or(DateTime::<Utc>::MIN_UTC, midnight);
    let never = DateTime::<Utc>::MAX_UTC;
    let complete_from = LEVELS.map(|level| levels.get(&level.width).copied().unwrap_or(never));
    Ok(Horizon { complete_from, requests_from })
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
    pub(super) fn days(&self, level: Level) -> u32 {
        self.days.of(level)
    }

    /// From when on a level is to be kept.
    pub(super) fn kept_from(&self, level: Level, now: DateTime<Utc>) -> DateTime<Utc> {
        level.kept_from(now, self.days.of(level))
    }

    /// Drops what is older than it is to be kept; gives how many partitions.
    pub(super) async fn maintain(&self, pool: &PgPool, now: DateTime<Utc>) -> Result<i32, Error> {
        let mut dropped = 0;
        for level in LEVELS {
            let from = self.kept_from(level, now);
            let mut transaction = pool.begin().await?;
            lock(&mut transaction).await?;
            sqlx::query(include_str!("queries/forget_rollups_before.sql"))
                .bind(level.width)
                .bind(from)
                .execute(&mut *transaction)
                .await?;
            dropped +=
                sqlx::query_scalar::<_, i32>(include_str!("queries/drop_rollups_partitions.sql"))
                    .bind(level.width)
                    .bind(from.date_naive())
                    .fetch_one(&mut *transaction)
                    .await?;
            transaction.commit().await?;
            let oldest = from.date_naive();
            self.partitions().retain(|(other, first)| *other != level || *first >= oldest);
        }
        Ok(dropped)
    }

    fn partitions(&self) -> std::sync::MutexGuard<'_, HashSet<(Level, NaiveDate)>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the partitions of these rollups; gives those that are to be
    /// remembered after the commit.
    pub(super) async fn ensure(
        &self,
        connection: &mut PgConnection,
        level: Level,
        rollups: &Rollups,
    ) -> Result<HashSet<(Level, NaiveDate)>, Error> {
        let wanted: HashSet<_> = rollups.keys().map(|key| level.partition(key.bucket)).collect();
        let mut made = HashSet::new();
        for (first, after) in wanted {
            if self.partitions().contains(&(level, first)) {
                continue;
            }
            sqlx::query(include_str!("queries/create_rollups_partition.sql"))
                .bind(level.width)
                .bind(first)
                .bind(after)
                .execute(&mut *connection)
                .await?;
            made.insert((level, first));
        }
        Ok(made)
    }

    pub(super) fn remember(&self, made: HashSet<(Level, NaiveDate)>) {
        self.partitions().extend(made);
    }

    /// Moves changes into the levels, unless another process does; gives how
    /// many changes there were.
    pub(super) async fn fold(&self, pool: &PgPool) -> Result<usize, Error> {
        let mut transaction = pool.begin().await?;
        let ours: bool = sqlx::query_scalar(include_str!("queries/try_lock_rollups.sql"))
            .fetch_one(&mut *transaction)
            .await?;
        if !ours {
            return Ok(0);
        }
        let changes = sqlx::query(include_str!("queries/take_rollup_changes.sql"))
            .bind(CHANGES)
            .fetch_all(&mut *transaction)
            .await?;
        if changes.is_empty() {
            return Ok(0);
        }
        let count = changes.len();
        let mut rollups = Rollups::new();
        for change in changes {
            let (key, measures) = decode(&change)?;
            rollups.entry(key).or_default().merge(&measures);
        }
        let horizon = horizon(&mut transaction).await?;
        let mut made = HashSet::new();
        for (level, complete_from) in LEVELS.into_iter().zip(horizon.complete_from) {
            rollups = widen(&rollups, level);
            let kept = since(&rollups, complete_from);
            made.extend(self.ensure(&mut transaction, level, &kept).await?);
            merge_into_level(&mut transaction, level, kept.into_owned()).await.inspect_err(
                |_| {
                    // Perhaps a partition was dropped by another process.
                    self.partitions().clear();
                },
            )?;
        }
        transaction.commit().await?;
        self.remember(made);
        Ok(count)
    }
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
pub(super) async fn lock(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query(include_str!("queries/lock_rollups.sql")).execute(connection).await?;
    Ok(())
}

async fn merge_into_level(
    connection: &mut PgConnection,
    level: Level,
    mut rollups: Rollups,
) -> Result<(), Error> {
    let mut keys: Vec<Key> = rollups.keys().copied().collect();
    let (Some(first), Some(last)) =
        (keys.iter().map(|key| key.bucket).min(), keys.iter().map(|key| key.bucket).max())
    else {
        return Ok(());
    };
    keys.sort_unstable();
    let there = sqlx::query(include_str!("queries/read_rollups.sql"))
        .bind(keys.iter().map(|key| key.series_id).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.bucket).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.outcome).collect::<Vec<_>>())
        .bind(level.width)
        .bind(first)
        .bind(last)
        .fetch_all(&mut *connection)
        .await?;
    for row in there {
        let (key, measures) = decode(&row)?;
        rollups.entry(key).or_default().merge(&measures);
    }
    sqlx::raw_sql(include_str!("queries/create_merged_rollups.sql"))
        .execute(&mut *connection)
        .await?;
    let statement = include_str!("queries/copy_merged_rollups.sql");
    rows(&rollups, level).send(connection, statement).await?;
    sqlx::query(include_str!("queries/write_merged_rollups.sql")).execute(connection).await?;
    Ok(())
}

/// Adds rollups of a level where there are none.
pub(super) async fn add_to_level(
    connection: &mut PgConnection,
    level: Level,
    rollups: &Rollups,
) -> Result<(), Error> {
    if rollups.is_empty() {
        return Ok(());
    }
    rows(rollups, level).send(connection, include_str!("queries/copy_rollups.sql")).await
}
