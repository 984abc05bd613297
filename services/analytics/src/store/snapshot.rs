//! Sums of the requests that pass a filter, by group and bucket, from one
//! snapshot of the database: rollups of the levels that answer exactly, changes
//! that are not in them yet, and single requests at the ends of the range.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use sqlx::{Postgres, Row as _, Transaction, postgres::PgRow};

use super::{Error, Grouping, Selection, Store, rebuild::sample, rollups, selection::Members};
use crate::filter::Filter;
use crate::rollup::{Cover, Horizon, LEVELS, Level, Measures, Segment, Source, Sum, unpack_lists};

/// Single requests of segments that are nearer to each other than this are read
/// together.
const NEAR: TimeDelta = TimeDelta::minutes(2);

/// Look-ups of single segments that are worth more than reading all that lies
/// between them.
const MOST_LOOKUPS: usize = 20_000;

/// Measures by the answer's bucket, from 0, and group.
pub(crate) type Cells = HashMap<(i32, i32), Measures>;

/// How much is wanted of the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Sums only.
    Sums,
    /// Histograms too.
    Distributions,
}

/// One state of the database, for all statements of an answer.
pub(crate) struct Snapshot<'a> {
    pub(super) transaction: Transaction<'a, Postgres>,
    pub(super) horizon: Horizon,
    rows_left: i64,
}

impl Store {
    /// Begins to read. Rolled back when it is dropped: nothing was changed.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot<'static>, Error> {
        let begin = include_str!("queries/begin_reading.sql");
        let mut transaction = self.reader()?.begin_with(begin).await?;
        let horizon = rollups::horizon(&mut transaction).await?;
        Ok(Snapshot { transaction, horizon, rows_left: self.query_rows })
    }
}

impl Snapshot<'_> {
    /// The finest level that is complete for a range and has at most `most`
    /// buckets in it.
    pub(crate) fn step(
        &self,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
        most: i64,
    ) -> Option<Level> {
        let finest = self.horizon.finest_since(start)?;
        LEVELS
            .into_iter()
            .filter(|level| *level >= finest)
            .find(|level| (end - start).num_seconds() / i64::from(level.width) <= most)
    }

    /// Sums by the buckets between neighbouring bounds, and by group.
    pub(crate) async fn cells(
        &mut self,
        selection: &Selection,
        members: &mut Members,
        bounds: &[DateTime<Utc>],
        depth: Depth,
    ) -> Result<Cells, Error> {
        let cover = if selection.by_session() {
            Cover::of_requests(bounds)
        } else {
            Cover::new(bounds, &self.horizon)
        };
        let mut cells = Cells::new();
        for level in LEVELS {
            let segments: Vec<_> = cover.of(Source::Level(level)).copied().collect();
            if !segments.is_empty() && !members.series.is_empty() {
                self.add_level(&mut cells, selection, members, level, &segments, depth).await?;
            }
        }
        let segments = cover.rolled_up();
        if !segments.is_empty() && !members.series.is_empty() {
            self.add_changes(&mut cells, selection, members, &segments).await?;
        }
        let segments: Vec<_> = cover.of(Source::Requests).copied().collect();
        for near in segments.chunk_by(|before, after| after.start - before.end <= NEAR) {
            self.add_requests(&mut cells, selection, members, near).await?;
        }
        Ok(cells)
    }

    /// Measures of a selection as a whole, without groups.
    pub(crate) async fn total(
        &mut self,
        selection: &Selection,
        members: &mut Members,
    ) -> Result<Measures, Error> {
        let bounds = [selection.start, selection.end];
        let cells = self.cells(selection, members, &bounds, Depth::Distributions).await?;
        Ok(cells.into_values().fold(Measures::default(), |mut all, part| {
            all.merge(&part);
            all
        }))
    }

    /// How many requests a selection has, which is that of a filter.
    pub(crate) async fn count(
        &mut self,
        selection: &Selection,
        filter: &Filter,
    ) -> Result<i64, Error> {
        let mut members = self.members(filter, &Grouping::None).await?;
        let bounds = [selection.start, selection.end];
        let cells = self.cells(selection, &mut members, &bounds, Depth::Sums).await?;
        Ok(cells.values().map(|measures| measures.sums.requests).sum())
    }

    async fn add_level(
        &mut self,
        cells: &mut Cells,
        selection: &Selection,
        members: &Members,
        level: Level,
        segments: &[Segment],
        depth: Depth,
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Ok(());
        };
        let seconds = |segment: &Segment| (segment.end - segment.start).num_seconds();
        let read = segments.iter().map(seconds).sum::<i64>();
        let between = (last.end - first.start).num_seconds();
        let lookups = segments.len() * members.series.len();
        let statement = if read * 3 < between && lookups < MOST_LOOKUPS {
            include_str!("queries/rollups_apart.sql")
        } else {
            include_str!("queries/rollups.sql")
        };
        let rows = sqlx::query(statement)
            .bind(segments.iter().map(|segment| segment.start).collect::<Vec<_>>())
            .bind(segments.iter().map(|segment| segment.end).collect::<Vec<_>>())
            .bind(segments.iter().map(|segment| segment.place).collect::<Vec<_>>())
            .bind(&members.series)
            .bind(&members.groups)
            .bind(members.by_outcome)
            .bind(selection.outcomes())
            .bind(level.width)
            .bind(first.start)
            .bind(last.end)
            .bind(depth == Depth::Distributions)
            .bind(self.rows_left + 1)
            .fetch_all(&mut *self.transaction)
            .await?;
        for row in rows {
            let (place, group, rows, measures) = decode(&row)?;
            self.spend(rows)?;
            cells.entry((place, group)).or_default().merge(&measures);
        }
        Ok(())
    }

    async fn add_changes(
        &mut self,
        cells: &mut Cells,
        selection: &Selection,
        members: &Members,
        segments: &[Segment],
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Ok(());
        };
        let mut rows = sqlx::query(include_str!("queries/rollup_changes.sql"))
            .bind(first.start)
            .bind(last.end)
            .bind(&members.series)
            .bind(selection.outcomes())
            .fetch(&mut *self.transaction);
        let groups: HashMap<i64, i32> =
            members.series.iter().copied().zip(members.groups.iter().copied()).collect();
        let mut read = 0;
        while let Some(row) = rows.try_next().await? {
            read += 1;
            let (key, measures) = rollups::decode(&row)?;
            let Some(segment) = segment_of(segments, key.bucket) else { continue };
            let group = if members.by_outcome {
                key.outcome.into()
            } else {
                groups.get(&key.series_id).copied().unwrap_or_default()
            };
            cells.entry((segment.place, group)).or_default().merge(&measures);
        }
        drop(rows);
        self.spend(read)
    }

    async fn add_requests(
        &mut self,
        cells: &mut Cells,
        selection: &Selection,
        members: &mut Members,
        segments: &[Segment],
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Ok(());
        };
        let (code, tag) = (members.grouping.code(), members.grouping.tag().map(str::to_owned));
        let mut rows = selection
            .between(first.start, last.end)
            .into_query(include_str!("queries/requests.sql"))
            .bind(code)
            .bind(tag)
            .bind(self.rows_left + 1)
            .fetch(&mut *self.transaction);
        let mut read = 0;
        while let Some(row) = rows.try_next().await? {
            read += 1;
            let (_, sample) = sample(&row)?;
            let Some(segment) = segment_of(segments, sample.started_at) else { continue };
            let group = if members.by_outcome {
                sample.outcome.into()
            } else {
                match members.group_of(row.try_get(17)?) {
                    Some(group) => group,
                    None => continue,
                }
            };
            cells.entry((segment.place, group)).or_default().add(&sample);
        }
        drop(rows);
        self.spend(read)
    }

    /// Counts rows that were read against those that an answer may take.
    fn spend(&mut self, rows: i64) -> Result<(), Error> {
        self.rows_left -= rows;
        if self.rows_left < 0 { Err(Error::TooManyRows) } else { Ok(()) }
    }
}

fn segment_of(segments: &[Segment], at: DateTime<Utc>) -> Option<&Segment> {
    let after = segments.partition_point(|segment| segment.start <= at);
    segments.get(after.checked_sub(1)?).filter(|segment| at < segment.end)
}

/// A line of rollups.sql: bucket, group, rows that were summed up, sums.
fn decode(row: &PgRow) -> Result<(i32, i32, i64, Measures), sqlx::Error> {
    let mut measures = Measures::default();
    let sums = &mut measures.sums;
    sums.requests = row.try_get(3)?;
    sums.failed = row.try_get(4)?;
    sums.client_closed = row.try_get(5)?;
    sums.last_started_at = row.try_get(6)?;
    sums.busy_us = row.try_get(7)?;
    for place in 0..6 {
        *sums.sum_mut(place) = Sum { sum: row.try_get(8 + place)?, with: 0 };
    }
    sums.without_usage = row.try_get(14)?;
    sums.with_estimated_usage = row.try_get(15)?;
    sums.upstream_cost_usd = row.try_get(16)?;
    for (place, histogram) in measures.histograms_mut().into_iter().enumerate() {
        if let Some(packed) = row.try_get::<Option<&[u8]>, _>(17 + place)? {
            *histogram = unpack_lists(packed);
        }
    }
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, measures))
}
