//! Sums up requests anew: after an upgrade, or where a process of an older
//! version wrote requests without their rollups. Safe while requests arrive:
//! one snapshot sees a request together with what its commit noted for the
//! rollups, or neither.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures_util::{TryStreamExt as _, future::try_join_all};
use sqlx::{
    Row as _,
    postgres::PgRow,
    types::{Json, Uuid},
};

use super::{
    Error, Store,
    activity::{Activity, Noted},
    client_keys,
    dimensions::{Cube, Dimensions, NarrowIds},
    insert_requests::narrowed,
    pool::Transaction,
    rollups::{self, BothSets, Horizons, Partition},
    sessions,
    weeks::Weeks,
    writes,
};
use crate::rollup::{
    DAY, Failure, Key, LEVELS, Level, Rollups, Sample, Sets, WEEK, add_by, unpack_sums,
};

/// How much is read before it is written.
const STEP: TimeDelta = TimeDelta::hours(1);

/// The levels that are summed up from requests, the first ones of [`LEVELS`].
const FROM_REQUESTS: [Level; 5] = [LEVELS[0], LEVELS[1], LEVELS[2], LEVELS[3], DAY];

/// Days that are summed up at the same time: the database reads one while the
/// other is added up.
const AT_A_TIME: usize = 2;

/// The narrow series of each full one.
type Narrow = HashMap<i64, NarrowIds>;

/// A part of a rebuild: a day that has requests, and what follows it up to the
/// next such day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    day: NaiveDate,
    pub(super) start: DateTime<Utc>,
    pub(super) end: DateTime<Utc>,
}

/// Which days of a range are rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All of them.
    All,
    /// Those that complete a level.
    Lacking,
}

/// What a part of a rebuild did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// First day of the part, UTC.
    pub day: NaiveDate,
    /// Requests that were summed up.
    pub requests: u64,
}

impl Store {
    /// Rebuilds the rollups of the UTC days that a range touches, the newest
    /// first, each in a transaction of its own. Days whose requests were dropped
    /// stay as they are. Levels that were not complete are so afterwards, as far
    /// as the days reach without a gap. Sessions are summed up anew, all of them.
    pub(crate) async fn rebuild_rollups(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        which: Which,
        mut progress: impl FnMut(Rebuilt) + Send,
    ) -> Result<(), Error> {
        let days = self.days_to_rebuild().await?;
        let parts = days.iter().enumerate().rev().map(|(at, day)| {
            let start = rollups::midnight(*day);
            let end = match days.get(at + 1) {
                Some(next) => rollups::midnight(*next),
                // What is newer than all requests is complete as it is.
                None => DAY.ceil(to).max(start + DAY.length()),
            };
            Part { day: *day, start, end }
        });
        let wanted: Vec<Part> =
            parts.filter(|part| part.start < to && part.start + DAY.length() > from).collect();
        for parts in wanted.chunks(AT_A_TIME) {
            let requests = self.rebuild(parts, which).await?;
            for (part, requests) in parts.iter().zip(requests) {
                progress(Rebuilt { day: part.day, requests });
            }
        }
        if which == Which::All {
            sessions::sum_up(self.session()).await?;
        }
        Ok(())
    }

    /// Sums up what no rollups are complete for yet, as after an upgrade. Several
    /// processes may do so at a time; each day is done once.
    pub(crate) async fn backfill_rollups(&self) -> Result<(), Error> {
        let Some(oldest) = self.days_to_rebuild().await?.first().copied().map(rollups::midnight)
        else {
            return Ok(());
        };
        let horizons = rollups::horizons(&mut self.session().begin().await?).await?;
        let now = Utc::now();
        let lacking = Sets::ALL.into_iter().flat_map(|sets| {
            let levels = sets.levels().iter().zip(horizons.of(sets).complete_from);
            levels.filter(move |(level, from)| {
                *from > level.ceil(oldest.max(self.levels.kept_from(**level, sets, now)))
            })
        });
        let Some(to) = lacking.map(|(_, from)| from).max() else { return Ok(()) };
        tracing::info!("summing up the requests that are there already");
        self.rebuild_rollups(oldest, to, Which::Lacking, |rebuilt| {
            tracing::info!(day = %rebuilt.day, requests = rebuilt.requests, "summed up");
        })
        .await
    }

    /// Compares the numbers of requests of today and yesterday with those in the
    /// rollups, and rebuilds a day where they differ: a process of an older
    /// version writes requests only. Gives the days.
    pub(crate) async fn repair_rollups(&self, now: DateTime<Utc>) -> Result<Vec<NaiveDate>, Error> {
        let total = self.series.total(&self.write).await?;
        let mut repaired = Vec::new();
        for start in [DAY.floor(now), DAY.floor(now) - DAY.length()] {
            let end = start + DAY.length();
            let (requests, sums): (Option<i64>, Option<Vec<u8>>) =
                sqlx::query_as(include_str!("queries/compare_day.sql"))
                    .bind(start)
                    .bind(end)
                    .bind(total)
                    .bind(rollups::minutes(start))
                    .bind(rollups::minutes(end))
                    .fetch_one(&self.write)
                    .await?;
            let mut summed = 0;
            for part in unpack_sums(&sums.unwrap_or_default()) {
                summed += part?.1.requests;
            }
            if requests.is_some_and(|requests| requests != summed) {
                let part = Part { day: start.date_naive(), start, end };
                self.rebuild(&[part], Which::All).await?;
                repaired.push(part.day);
            }
        }
        Ok(repaired)
    }

    /// The days that requests have partitions for, in their order.
    async fn days_to_rebuild(&self) -> Result<Vec<NaiveDate>, Error> {
        Ok(sqlx::query_scalar(include_str!("queries/days_to_rebuild.sql"))
            .fetch_all(&self.write)
            .await?)
    }

    /// Rebuilds neighbouring parts; gives the number of requests of each.
    async fn rebuild(&self, parts: &[Part], which: Which) -> Result<Vec<u64>, Error> {
        // The lock is held by a transaction of its own, so that the snapshots are
        // younger than whatever the lock waited for.
        let mut lock = self.session().begin().await?;
        sqlx::query(include_str!("queries/no_statement_timeout.sql")).execute(&mut lock).await?;
        rollups::lock(&mut lock).await?;
        let before = rollups::horizons(&mut lock).await?;
        let now = Utc::now();
        // From when on each level is complete afterwards.
        let mut after = before;
        let mut lacking = Vec::new();
        for part in parts {
            let mut lacks = which == Which::All;
            for sets in Sets::ALL {
                let complete_from = &mut after.of_mut(sets).complete_from;
                for (level, from) in FROM_REQUESTS.into_iter().zip(complete_from) {
                    let kept_from = part.start.max(self.levels.kept_from(level, sets, now));
                    if (part.start..=part.end).contains(&*from) && kept_from < *from {
                        *from = kept_from;
                        lacks = true;
                    }
                }
            }
            lacking.push(lacks);
        }
        let weeks = Weeks::of(parts, &before.narrow);
        writes::note_beginning(self.session(), weeks.start()).await?;
        if lacking.contains(&true) {
            weeks.put_aside(self.session()).await?;
        }
        for (part, _) in parts.iter().zip(&lacking).filter(|(_, lacks)| **lacks) {
            self.make_partitions(part.start, &after).await?;
        }
        let days_change = lacking.contains(&true);
        let rebuilding = parts.iter().zip(lacking).map(async |(part, lacks)| {
            if lacks { self.rebuild_part(part, &after).await } else { Ok(Default::default()) }
        });
        let mut requests = Vec::with_capacity(parts.len());
        let mut activity = Activity::default();
        for (part, active) in try_join_all(rebuilding).await? {
            requests.push(part);
            activity.merge(active);
        }
        activity.note(&mut lock, Noted::Again).await?;
        for (level, sets) in from_requests() {
            let place = LEVELS.iter().position(|other| *other == level).unwrap_or_default();
            let from = after.of(sets).complete_from[place];
            if from != before.of(sets).complete_from[place] {
                sqlx::query(include_str!("queries/set_complete_from.sql"))
                    .bind(level.number(sets))
                    .bind(from)
                    .execute(&mut lock)
                    .await?;
            }
        }
        if days_change || weeks.are_lacking(&after.narrow) {
            let kept_from = self.levels.kept_from(WEEK, Sets::Narrow, now);
            weeks.sum_up(self.session(), &self.levels, &after.narrow, kept_from).await?;
        }
        writes::note(&mut lock, weeks.start()).await?;
        lock.commit().await?;
        Ok(requests)
    }

    /// Makes the partitions of a day ahead of transactions that would wait for
    /// each other.
    async fn make_partitions(&self, day: DateTime<Utc>, after: &Horizons) -> Result<(), Error> {
        for (level, sets) in from_requests() {
            let place = LEVELS.iter().position(|other| *other == level).unwrap_or_default();
            if after.of(sets).complete_from[place] < day + DAY.length() {
                let key = Key { series_id: 0, bucket: level.floor(day), outcome: 0 };
                let rollups = Rollups::from([(key, Default::default())]);
                let mut transaction = self.session().begin().await?;
                let made = self.levels.ensure(&mut transaction, level, sets, &rollups).await?;
                transaction.commit().await?;
                self.levels.remember(made);
            }
        }
        Ok(())
    }

    /// Replaces the rollups of a part in a transaction.
    async fn rebuild_part(&self, part: &Part, after: &Horizons) -> Result<(u64, Activity), Error> {
        let begin = include_str!("queries/begin_snapshot.sql");
        let mut transaction = self.session().begin_with(begin).await?;
        writes::hold(&mut transaction, part.start).await?;
        sqlx::query(include_str!("queries/no_statement_timeout.sql"))
            .execute(&mut transaction)
            .await?;
        for statement in [
            include_str!("queries/discard_rollup_changes.sql"),
            include_str!("queries/delete_rollups.sql"),
        ] {
            sqlx::query(statement)
                .bind(rollups::minutes(part.start))
                .bind(rollups::minutes(part.end))
                .execute(&mut transaction)
                .await?;
        }
        let narrow = self.all_series(&mut transaction).await?;
        let (summed_up, made) = self.sum_up(&mut transaction, part, &narrow, after).await?;
        transaction.commit().await?;
        self.levels.remember(made);
        Ok(summed_up)
    }

    /// Writes the rollups of a part from its requests.
    async fn sum_up(
        &self,
        connection: &mut Transaction,
        part: &Part,
        narrow: &Narrow,
        horizons: &Horizons,
    ) -> Result<((u64, Activity), HashSet<Partition>), Error> {
        let Part { start, end, .. } = *part;
        let mut requests = 0;
        let mut activity = Activity::default();
        let mut made = HashSet::new();
        // Of the wider levels only what is not written yet is in memory.
        let mut open = FROM_REQUESTS.map(|_| BothSets::default());
        // Levels that are not kept for this time are not summed up either.
        let kept = |place: &usize| {
            Sets::ALL.iter().any(|sets| horizons.of(*sets).complete_from[*place] < end)
        };
        let finest = (0..open.len()).find(kept).unwrap_or(open.len() - 1);
        let mut at = start;
        while at < end {
            // A range that reaches into the future is one step from tomorrow on.
            let step =
                if at > Utc::now() + TimeDelta::days(2) { end } else { (at + STEP).min(end) };
            let from = if at == start { start - DAY.length() } else { at };
            let mut rows = sqlx::query(include_str!("queries/requests_to_sum_up.sql"))
                .bind(from)
                .bind(step)
                .bind(at)
                .fetch(&mut *connection);
            let full = &mut open[finest].full;
            while let Some(row) = rows.try_next().await? {
                let (series_id, mut sample) = sample(&row)?;
                sample.failure = failure(&row)?;
                requests += u64::from(sample.started_at >= start);
                add_by(LEVELS[finest], full, series_id, &sample);
            }
            drop(rows);
            full.retain(|key, _| (start..end).contains(&key.bucket));
            at = step;
            let finished = take_finished(full, finest, at);
            let mut finer = BothSets { narrow: narrowed(&finished, narrow), full: finished };
            client_keys::number(self.session(), &mut finer.narrow).await?;
            activity.add(&finer.narrow);
            for (place, level) in FROM_REQUESTS.into_iter().enumerate().skip(finest) {
                for sets in Sets::ALL {
                    if place > finest {
                        // Finer levels fit into steps; wider ones are added up first.
                        let open = open[place].of_mut(sets);
                        for (key, measures) in finer.of_mut(sets).drain() {
                            let bucket = level.floor(key.bucket);
                            open.entry(Key { bucket, ..key }).or_default().merge(&measures);
                        }
                        *finer.of_mut(sets) = take_finished(open, place, at);
                    }
                    let from = horizons.of(sets).complete_from[place];
                    let written = rollups::since(finer.of_mut(sets), from);
                    made.extend(self.levels.ensure(connection, level, sets, &written).await?);
                    rollups::add_to_level(connection, level, sets, &written).await?;
                }
            }
        }
        Ok(((requests, activity), made))
    }

    async fn all_series(&self, connection: &mut Transaction) -> Result<Narrow, Error> {
        let rows =
            sqlx::query(include_str!("queries/full_series.sql")).fetch_all(connection).await?;
        let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
        let mut tags: Vec<Json<HashMap<String, String>>> = Vec::with_capacity(rows.len());
        for row in &rows {
            ids.push(row.try_get("series_id")?);
            tags.push(row.try_get("tags")?);
        }
        let sets = rows
            .iter()
            .zip(&tags)
            .map(|(row, tags)| dimensions(row, &tags.0))
            .collect::<Result<Vec<_>, _>>()?;
        let narrow = self.series.narrow(&self.write, &sets).await?;
        Ok(ids.into_iter().zip(narrow).collect())
    }
}

/// The levels that are summed up from requests, of both kinds of sets.
fn from_requests() -> impl Iterator<Item = (Level, Sets)> {
    rollups::all_levels().filter(|(level, _)| FROM_REQUESTS.contains(level))
}

/// Takes away the buckets of a level that end by a moment.
fn take_finished(open: &mut Rollups, place: usize, by: DateTime<Utc>) -> Rollups {
    let length = LEVELS[place].length();
    open.extract_if(|key, _| key.bucket + length <= by).collect()
}

fn dimensions<'a>(
    row: &'a PgRow,
    tags: &'a HashMap<String, String>,
) -> Result<Dimensions<'a>, sqlx::Error> {
    Ok(Dimensions {
        cube: Cube::Full,
        model: row.try_get("model")?,
        upstream: row.try_get("upstream")?,
        dialect: row.try_get("dialect")?,
        operation: row.try_get("operation")?,
        stream: row.try_get("stream")?,
        client_key: row.try_get("client_key")?,
        user_name: row.try_get("user_name")?,
        user_agent_family: row.try_get("user_agent_family")?,
        tags,
    })
}

/// What is kept of a failed request, from a row of those that are summed up.
fn failure(row: &PgRow) -> Result<Option<Failure<'_>>, sqlx::Error> {
    let event_id: Option<Uuid> = row.try_get(20)?;
    let error_type = row.try_get(21)?;
    Ok(event_id.map(|event_id| Failure { error_type, event_id: event_id.as_u128() }))
}

/// A row of the columns that measures need, with its series.
pub(super) fn sample(row: &PgRow) -> Result<(i64, Sample<'_>), sqlx::Error> {
    let series_id = row.try_get(0)?;
    let sample = Sample {
        started_at: row.try_get(1)?,
        outcome: row.try_get(2)?,
        usage_source: row.try_get(3)?,
        generating: row.try_get(19)?,
        tokens: [
            row.try_get(4)?,
            row.try_get(5)?,
            row.try_get(6)?,
            row.try_get(7)?,
            row.try_get(8)?,
            row.try_get(9)?,
        ],
        upstream_cost_usd: row.try_get(10)?,
        cost_nano_usd: row.try_get(11)?,
        cache_saving_nano_usd: row.try_get(12)?,
        cost_source: row.try_get(13)?,
        duration_us: row.try_get(14)?,
        first_token_us: row.try_get(15)?,
        decode_rate: row.try_get(16)?,
        prefill_rate: row.try_get(17)?,
        token_gaps: row.try_get(18)?,
        failure: None,
    };
    Ok((series_id, sample))
}
