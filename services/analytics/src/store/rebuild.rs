//! Sums up requests anew: after an upgrade, or where a process of an older
//! version wrote requests without their rollups. Safe while requests arrive:
//! one snapshot sees a request together with what its commit noted for the
//! rollups, or neither.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, Row as _, postgres::PgRow, types::Json};

use super::{
    Error, Store,
    dimensions::{Cube, Dimensions},
    insert_requests::with_narrow,
    rollups,
};
use crate::rollup::{Horizon, Key, LEVELS, Rollups, Sample, add_by};

/// How much is read before it is written.
const STEP: TimeDelta = TimeDelta::hours(1);

const DAY: TimeDelta = TimeDelta::days(1);

/// Full series as the rebuild needs them.
#[derive(Debug, Default)]
struct Series {
    narrow: HashMap<i64, [i64; 5]>,
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
    /// as the days reach without a gap.
    pub(crate) async fn rebuild_rollups(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        which: Which,
        mut progress: impl FnMut(Rebuilt) + Send,
    ) -> Result<(), Error> {
        let days = self.days_to_rebuild().await?;
        // Each part begins with a day that has requests, and reaches to the next.
        for (at, day) in days.iter().enumerate().rev() {
            let start = rollups::midnight(*day);
            let day_end = start + DAY;
            let end = match days.get(at + 1) {
                Some(next) => rollups::midnight(*next),
                // What is newer than all requests is complete as it is.
                None => LEVELS[LEVELS.len() - 1].ceil(to).max(day_end),
            };
            if start < to && day_end > from {
                let requests = self.rebuild(start, end, which).await?;
                progress(Rebuilt { day: *day, requests });
            }
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
        let horizon = rollups::horizon(&mut *self.write.acquire().await?).await?;
        let now = Utc::now();
        let lacking = LEVELS.into_iter().zip(horizon.complete_from).filter(|(level, from)| {
            *from > level.ceil(oldest.max(self.levels.kept_from(*level, now)))
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
        let day = LEVELS[LEVELS.len() - 1];
        let total = self.series.total(&self.write).await?;
        let mut repaired = Vec::new();
        for start in [day.floor(now), day.floor(now) - day.length()] {
            let differs: Option<bool> =
                sqlx::query_scalar(include_str!("queries/rollups_differ.sql"))
                    .bind(start)
                    .bind(start + day.length())
                    .bind(total)
                    .fetch_one(&self.write)
                    .await?;
            if differs == Some(true) {
                self.rebuild(start, start + day.length(), Which::All).await?;
                repaired.push(start.date_naive());
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

    async fn rebuild(
        &self,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
        which: Which,
    ) -> Result<u64, Error> {
        // The lock is held by a transaction of its own, so that the snapshot is
        // younger than whatever the lock waited for.
        let mut lock = self.write.begin().await?;
        sqlx::query(include_str!("queries/no_statement_timeout.sql")).execute(&mut *lock).await?;
        rollups::lock(&mut lock).await?;
        let mut connection = self.write.acquire().await?;
        let mut transaction = sqlx::Connection::begin_with(
            &mut *connection,
            include_str!("queries/begin_snapshot.sql"),
        )
        .await?;
        sqlx::query(include_str!("queries/no_statement_timeout.sql"))
            .execute(&mut *transaction)
            .await?;
        let horizon = rollups::horizon(&mut transaction).await?;
        let now = Utc::now();
        // From when on each level is complete afterwards.
        let mut complete_from = horizon.complete_from;
        for (level, from) in LEVELS.into_iter().zip(&mut complete_from) {
            if (start..=end).contains(&*from) {
                *from = (*from).min(start.max(self.levels.kept_from(level, now)));
            }
        }
        if which == Which::Lacking && complete_from == horizon.complete_from {
            return Ok(0);
        }
        for statement in [
            include_str!("queries/discard_rollup_changes.sql"),
            include_str!("queries/delete_rollups.sql"),
        ] {
            sqlx::query(statement).bind(start).bind(end).execute(&mut *transaction).await?;
        }
        let series = self.all_series(&mut transaction).await?;
        let after = Horizon { complete_from, ..horizon };
        let (requests, made) = self.sum_up(&mut transaction, start, end, &series, &after).await?;
        for (level, from) in LEVELS.into_iter().zip(complete_from) {
            sqlx::query(include_str!("queries/set_complete_from.sql"))
                .bind(level.width)
                .bind(from)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        lock.commit().await?;
        self.levels.remember(made);
        Ok(requests)
    }

    /// Writes the rollups of a range from its requests.
    async fn sum_up(
        &self,
        connection: &mut PgConnection,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
        series: &Series,
        horizon: &Horizon,
    ) -> Result<(u64, HashSet<(crate::rollup::Level, NaiveDate)>), Error> {
        let mut requests = 0;
        let mut made = HashSet::new();
        // Of the wider levels only what is not written yet is in memory.
        let mut open = vec![Rollups::new(); LEVELS.len()];
        // Levels that are not kept for this time are not summed up either.
        let kept = horizon.complete_from.iter().position(|from| *from < end);
        let finest = kept.unwrap_or(LEVELS.len() - 1);
        let mut at = start;
        while at < end {
            // A range that reaches into the future is one step from tomorrow on.
            let step =
                if at > Utc::now() + TimeDelta::days(2) { end } else { (at + STEP).min(end) };
            let from = if at == start { start - DAY } else { at };
            let mut rows = sqlx::query(include_str!("queries/requests_to_sum_up.sql"))
                .bind(from)
                .bind(step)
                .bind(at)
                .fetch(&mut *connection);
            while let Some(row) = rows.try_next().await? {
                let (series_id, sample) = sample(&row)?;
                requests += u64::from(sample.started_at >= start);
                add_by(LEVELS[finest], &mut open[finest], series_id, &sample);
            }
            drop(rows);
            open[finest].retain(|key, _| (start..end).contains(&key.bucket));
            at = step;
            let done = |key: &Key| key.bucket + LEVELS[finest].length() <= at;
            let finished: Rollups = open[finest].extract_if(|key, _| done(key)).collect();
            let mut finer = with_narrow(finished, &series.narrow);
            for (place, level) in LEVELS.into_iter().enumerate().skip(finest) {
                if place > finest {
                    for (key, measures) in rollups::widen(&finer, level) {
                        open[place].entry(key).or_default().merge(&measures);
                    }
                    // Finer levels fit into steps; wider ones are added up first.
                    finer = open[place]
                        .extract_if(|key, _| key.bucket + level.length() <= at)
                        .collect();
                }
                let written = rollups::since(&finer, horizon.complete_from[place]);
                made.extend(self.levels.ensure(connection, level, &written).await?);
                rollups::add_to_level(connection, level, &written).await?;
            }
        }
        Ok((requests, made))
    }

    async fn all_series(&self, connection: &mut PgConnection) -> Result<Series, Error> {
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
        let mut series = Series::default();
        let narrow = self.series.narrow(&self.write, &sets).await?;
        for (id, narrow) in ids.into_iter().zip(narrow) {
            series.narrow.insert(id, narrow);
        }
        Ok(series)
    }
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

/// A row of the columns that measures need, with its series.
pub(super) fn sample(row: &PgRow) -> Result<(i64, Sample<'_>), sqlx::Error> {
    let series_id = row.try_get(0)?;
    let sample = Sample {
        started_at: row.try_get(1)?,
        outcome: row.try_get(2)?,
        usage_source: row.try_get(3)?,
        generating: row.try_get(16)?,
        tokens: [
            row.try_get(4)?,
            row.try_get(5)?,
            row.try_get(6)?,
            row.try_get(7)?,
            row.try_get(8)?,
            row.try_get(9)?,
        ],
        upstream_cost_usd: row.try_get(10)?,
        duration_us: row.try_get(11)?,
        first_token_us: row.try_get(12)?,
        decode_rate: row.try_get(13)?,
        prefill_rate: row.try_get(14)?,
        token_gaps: row.try_get(15)?,
    };
    Ok((series_id, sample))
}
