//! Sums of the requests that pass a filter, by group and bucket, from one
//! snapshot of the database: rollups of the levels that answer exactly, changes
//! that are not in them yet, and single requests at the ends of the range.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use sqlx::{Row as _, postgres::PgRow};

use super::{
    Error, Grouping, Selection, Store,
    edges::{Edges, Kept},
    pool::Transaction,
    rebuild::sample,
    remembered::{Question, Remembered},
    rollups::{self, Horizons, minutes},
    segments::{add_histograms, add_sums},
    selection::{ALL_GROUPS, MOST_KEYS, Members},
    traced::Traced as _,
    writes::Writes,
};
use crate::filter::Filter;
use crate::rollup::{Cover, LEVELS, Level, Measures, Segment, Source};

/// Single requests of segments that are nearer to each other than this are read
/// together.
const NEAR: TimeDelta = TimeDelta::minutes(2);

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
pub(crate) struct Snapshot {
    pub(super) transaction: Transaction,
    pub(super) horizons: Horizons,
    edges: Edges,
    pub(super) writes: Writes,
    pub(super) remembered: Arc<Remembered>,
    pub(super) rows_left: i64,
}

impl Store {
    /// Begins to read. Rolled back when it is dropped: nothing was changed.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        let begin = include_str!("queries/begin_reading.sql");
        let begun = self.reader()?.begin_with(begin).traced("begin_reading").await;
        let mut transaction = match begun.map_err(Error::from) {
            Ok(transaction) => transaction,
            Err(error) => match self.reads.instead(&error) {
                Some(primary) => primary.begin_with(begin).traced("begin_reading").await?,
                None => return Err(error),
            },
        };
        let (horizons, writes) = rollups::horizons_and_writes(&mut transaction).await?;
        Ok(Snapshot {
            transaction,
            horizons,
            edges: Edges::default(),
            writes,
            remembered: Arc::clone(&self.remembered),
            rows_left: self.query_rows,
        })
    }
}

impl Snapshot {
    /// The finest level that is complete for a range and has at most `most`
    /// buckets in it.
    pub(crate) fn step(
        &self,
        members: &Members,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
        most: i64,
    ) -> Option<Level> {
        let finest = self.horizons.of(members.sets).finest_since(start)?;
        let levels = members.sets.levels().iter().copied();
        levels
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
        let cover = if selection.reads_requests() || members.reads_requests() {
            Cover::of_requests(bounds)
        } else {
            Cover::new(bounds, self.horizons.of(members.sets))
        };
        let mut cells = Cells::new();
        let question = Question::new(selection, members, depth, &self.writes);
        for level in LEVELS {
            let segments: Vec<_> = cover.of(Source::Level(level)).copied().collect();
            if !segments.is_empty() && !members.series.is_empty() {
                self.add_level(&mut cells, selection, members, &question, level, &segments).await?;
            }
        }
        let segments = cover.rolled_up();
        if !segments.is_empty() && !members.series.is_empty() {
            self.add_changes(&mut cells, selection, members, &segments, depth).await?;
        }
        let segments: Vec<_> = cover.of(Source::Requests).copied().collect();
        for near in segments.chunk_by(|before, after| after.start - before.end <= NEAR) {
            self.add_requests(&mut cells, selection, members, near, depth).await?;
        }
        Ok(cells)
    }

    /// The same, and beside them those of `all`, the groups together, by bucket only. They
    /// are read at once if they can be.
    pub(crate) async fn cells_and_all(
        &mut self,
        selection: &Selection,
        members: &mut Members,
        all: &mut Members,
        bounds: &[DateTime<Utc>],
        depth: Depth,
    ) -> Result<(Cells, HashMap<i32, Measures>), Error> {
        let at_once = members.add_all(all);
        let cells = self.cells(selection, members, bounds, depth).await;
        members.remove_all();
        let mut cells = cells?;
        let of_all = if at_once {
            cells.extract_if(|(_, group), _| *group == ALL_GROUPS).collect()
        } else {
            self.cells(selection, all, bounds, depth).await?
        };
        let mut by_place: HashMap<i32, Measures> = HashMap::new();
        for ((place, _), measures) in of_all {
            by_place.entry(place).or_default().merge(&measures);
        }
        Ok((cells, by_place))
    }

    /// Measures between neighbouring bounds, without groups.
    pub(crate) async fn totals(
        &mut self,
        selection: &Selection,
        members: &mut Members,
        bounds: &[DateTime<Utc>],
    ) -> Result<Vec<Measures>, Error> {
        let cells = self.cells(selection, members, bounds, Depth::Distributions).await?;
        let mut totals = vec![Measures::default(); bounds.len().saturating_sub(1)];
        for ((place, _), part) in cells {
            if let Some(total) = usize::try_from(place).ok().and_then(|place| totals.get_mut(place))
            {
                total.merge(&part);
            }
        }
        Ok(totals)
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

    async fn add_changes(
        &mut self,
        cells: &mut Cells,
        selection: &Selection,
        members: &Members,
        segments: &[Segment],
        depth: Depth,
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Ok(());
        };
        let rows = sqlx::query(include_str!("queries/rollup_changes.sql"))
            .bind(minutes(first.start))
            .bind(minutes(last.end))
            .bind(&members.series)
            .bind(depth == Depth::Distributions)
            .fetch_all(&mut self.transaction)
            .traced("rollup_changes")
            .await?;
        if rows.is_empty() {
            return Ok(());
        }
        self.spend(rows.len() as i64)?;
        let groups: HashMap<i64, i32> =
            members.series.iter().copied().zip(members.groups.iter().copied()).collect();
        for row in rows {
            let bucket = rollups::moment(row.try_get(1)?);
            let Some(segment) = segment_of(segments, bucket) else { continue };
            let group = groups.get(&row.try_get(0)?).copied().unwrap_or_default();
            let histograms: Option<&[u8]> = row.try_get(3)?;
            let sums = row.try_get(2)?;
            let group = |outcome| members.group_of_outcome(group, outcome);
            add_sums(cells, selection, segment.place, sums, group)?;
            add_histograms(cells, selection, segment.place, histograms.unwrap_or_default(), group)?;
        }
        Ok(())
    }

    async fn add_requests(
        &mut self,
        cells: &mut Cells,
        selection: &Selection,
        members: &mut Members,
        segments: &[Segment],
        depth: Depth,
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Ok(());
        };
        if selection.reads_requests() || members.reads_requests() {
            self.plan_for_requests().await?;
        }
        let selection = selection.between(first.start, last.end);
        if let Some(rows) = self.edges.find(&selection, &members.grouping, depth) {
            let add = |row| add_request(cells, members, segments, row, depth);
            return rows.iter().try_for_each(add);
        }
        let (code, tag) = (members.grouping.code(), members.grouping.tag().map(str::to_owned));
        let mut rows = selection
            .clone()
            .into_query(include_str!("queries/requests.sql"))
            .bind(code)
            .bind(tag)
            .bind(self.rows_left + 1)
            .bind(depth == Depth::Distributions)
            .fetch(&mut self.transaction);
        let (mut read, mut kept) = (0, Kept::new());
        let reading = async {
            while let Some(row) = rows.try_next().await? {
                read += 1;
                add_request(cells, members, segments, &row, depth)?;
                kept.push(row);
            }
            Ok::<_, Error>(())
        };
        reading.traced("requests").await?;
        drop(rows);
        self.edges.keep(selection, members.grouping.clone(), depth, kept);
        self.spend(read)
    }

    /// What follows in this snapshot is about single requests.
    pub(super) async fn plan_for_requests(&mut self) -> Result<(), Error> {
        sqlx::query(include_str!("queries/plan_for_requests.sql"))
            .execute(&mut self.transaction)
            .traced("plan_for_requests")
            .await?;
        Ok(())
    }

    /// Counts rows that were read against those that an answer may take.
    pub(super) fn spend(&mut self, rows: i64) -> Result<(), Error> {
        self.rows_left -= rows;
        if self.rows_left < 0 { Err(Error::TooManyRows) } else { Ok(()) }
    }
}

pub(super) fn segment_of(segments: &[Segment], at: DateTime<Utc>) -> Option<&Segment> {
    let after = segments.partition_point(|segment| segment.start <= at);
    segments.get(after.checked_sub(1)?).filter(|segment| at < segment.end)
}

/// Adds a single request.
fn add_request(
    cells: &mut Cells,
    members: &mut Members,
    segments: &[Segment],
    row: &PgRow,
    depth: Depth,
) -> Result<(), Error> {
    let (_, sample) = sample(row)?;
    let Some(segment) = segment_of(segments, sample.started_at) else { return Ok(()) };
    let group = if members.by_outcome {
        Some(sample.outcome.into())
    } else if members.grouping == Grouping::None {
        members.group_of("")
    } else if let Some(key) = row.try_get(20)? {
        members.group_of(key)
    } else {
        members.ungrouped = true;
        None
    };
    if members.groups() > MOST_KEYS && members.reads_requests() {
        return Err(Error::TooManyRows);
    }
    let all = members.has_all().then_some(ALL_GROUPS);
    for group in group.into_iter().chain(all) {
        let cell = cells.entry((segment.place, group)).or_default();
        match depth {
            Depth::Sums => cell.add_to_sums(&sample),
            Depth::Distributions => cell.add(&sample),
        }
    }
    Ok(())
}
