//! Rollups of segments of a level: remembered ones, and what the database has of the others.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use sqlx::Row as _;

use super::{
    Cells, Depth, Error, Members, Selection, Snapshot,
    remembered::Question,
    rollups::{self, minutes},
    snapshot::segment_of,
    traced::Traced as _,
};
use crate::rollup::{Level, Measures, Segment, unpack_histograms, unpack_sums};

/// Look-ups of single segments that are worth more than reading all that lies
/// between them.
const MOST_LOOKUPS: usize = 20_000;

impl Depth {
    /// Buckets that are not wanted and are read nevertheless, since a look-up of what follows
    /// them would take longer.
    fn narrow_gap(self) -> i32 {
        match self {
            Self::Sums => 5,
            Self::Distributions => 1,
        }
    }
}

impl Snapshot {
    /// Adds segments of a level.
    pub(super) async fn add_level(
        &mut self,
        cells: &mut Cells,
        selection: &Selection,
        members: &Members,
        question: &Question,
        level: Level,
        segments: &[Segment],
    ) -> Result<(), Error> {
        let mut lacking = Vec::new();
        for segment in segments {
            match self.remembered.find(question, level, segment, &self.writes) {
                Some(parts) => add_parts(cells, segment.place, &parts),
                None => lacking.push(*segment),
            }
        }
        let parts = self.read_level(selection, members, level, &lacking, question.depth).await?;
        for (segment, parts) in lacking.iter().zip(parts) {
            add_parts(cells, segment.place, &parts);
            self.remembered.keep(question, level, segment, &self.writes, &parts);
        }
        Ok(())
    }

    /// Measures of each of the segments of a level, by group.
    async fn read_level(
        &mut self,
        selection: &Selection,
        members: &Members,
        level: Level,
        segments: &[Segment],
        depth: Depth,
    ) -> Result<Vec<Vec<(i32, Measures)>>, Error> {
        let own_places = (0..).zip(segments).map(|(place, segment)| Segment { place, ..*segment });
        let segments: Vec<_> = own_places.collect();
        let mut cells = Cells::new();
        self.add_rollups(&mut cells, selection, members, level, &segments, depth).await?;
        let mut parts = vec![Vec::new(); segments.len()];
        for ((place, group), measures) in cells {
            if let Some(part) = usize::try_from(place).ok().and_then(|place| parts.get_mut(place)) {
                part.push((group, measures));
            }
        }
        Ok(parts)
    }

    /// Adds what the database has of segments of a level.
    async fn add_rollups(
        &mut self,
        cells: &mut Cells,
        selection: &Selection,
        members: &Members,
        level: Level,
        segments: &[Segment],
        depth: Depth,
    ) -> Result<(), Error> {
        let spans = spans(segments, members.series.len(), level, depth);
        let (Some((first, _)), Some((_, last))) = (spans.first(), spans.last()) else {
            return Ok(());
        };
        let (name, statement) = match depth {
            Depth::Sums => ("sums_of_spans", include_str!("queries/sums_of_spans.sql")),
            Depth::Distributions => {
                ("rollups_of_spans", include_str!("queries/rollups_of_spans.sql"))
            }
        };
        let mut rows = sqlx::query(statement)
            .bind(spans.iter().map(|(start, _)| minutes(*start)).collect::<Vec<_>>())
            .bind(spans.iter().map(|(_, end)| minutes(*end)).collect::<Vec<_>>())
            .bind(&members.series)
            .bind(&members.groups)
            .bind(level.number(members.sets))
            .bind(minutes(*first))
            .bind(minutes(*last))
            .bind(self.rows_left + 1)
            .fetch(&mut self.transaction);
        let (mut read, mut run) = (0, Run::default());
        // Added up while the database looks for the next ones.
        let reading = async {
            while let Some(row) = rows.try_next().await? {
                read += 1;
                let (group, bucket): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
                let Some(segment) = segment_of(segments, rollups::moment(bucket)) else { continue };
                let of_outcome = |outcome| members.group_of_outcome(group, outcome);
                add_sums(cells, selection, segment.place, row.try_get(2)?, of_outcome)?;
                if depth == Depth::Distributions {
                    let histograms: Option<&[u8]> = row.try_get(3)?;
                    let cell = (segment.place, group);
                    run.add(cells, selection, members, cell, histograms.unwrap_or_default())?;
                }
            }
            run.end(cells, selection, members)
        };
        reading.traced(name).await?;
        drop(rows);
        self.spend(read)
    }
}

/// Adds measures by group.
fn add_parts(cells: &mut Cells, place: i32, parts: &[(i32, Measures)]) {
    for (group, part) in parts {
        cells.entry((place, *group)).or_default().merge_without_errors(part);
    }
}

/// Histograms of rows that follow each other and belong to one cell: they are added up
/// together, which costs less than one after the other.
#[derive(Default)]
struct Run {
    /// The answer's bucket and the group of the series.
    cell: (i32, i32),
    histograms: Vec<u8>,
}

impl Run {
    fn add(
        &mut self,
        cells: &mut Cells,
        selection: &Selection,
        members: &Members,
        cell: (i32, i32),
        histograms: &[u8],
    ) -> Result<(), Error> {
        if self.cell != cell {
            self.end(cells, selection, members)?;
            self.cell = cell;
        }
        self.histograms.extend_from_slice(histograms);
        Ok(())
    }

    fn end(
        &mut self,
        cells: &mut Cells,
        selection: &Selection,
        members: &Members,
    ) -> Result<(), Error> {
        let (place, group) = self.cell;
        let group = |outcome| members.group_of_outcome(group, outcome);
        add_histograms(cells, selection, place, &self.histograms, group)?;
        self.histograms.clear();
        Ok(())
    }
}

/// Adds the sums of a row.
pub(super) fn add_sums(
    cells: &mut Cells,
    selection: &Selection,
    place: i32,
    sums: &[u8],
    group: impl Fn(i16) -> i32,
) -> Result<(), Error> {
    for part in unpack_sums(sums) {
        let (outcome, sums) = part?;
        if selection.has_outcome(outcome) {
            cells.entry((place, group(outcome))).or_default().sums.merge(&sums);
        }
    }
    Ok(())
}

/// Adds the histograms of rows, which may stand one after the other.
pub(super) fn add_histograms(
    cells: &mut Cells,
    selection: &Selection,
    place: i32,
    histograms: &[u8],
    group: impl Fn(i16) -> i32,
) -> Result<(), Error> {
    let counts = |outcome| selection.has_outcome(outcome).then(|| group(outcome));
    for (group, histograms) in unpack_histograms(histograms, counts)? {
        let cell = cells.entry((place, group)).or_default();
        for (into, histogram) in cell.histograms_mut().into_iter().zip(&histograms) {
            into.merge(histogram);
        }
    }
    Ok(())
}

/// What is read of a level for each of so many series: segments, and what lies between them
/// where that is little, or where there would be too many look-ups.
fn spans(
    segments: &[Segment],
    series: usize,
    level: Level,
    depth: Depth,
) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let gap = level.length() * depth.narrow_gap();
    let mut spans: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    for segment in segments {
        match spans.last_mut() {
            Some((_, end)) if segment.start - *end <= gap => *end = segment.end,
            _ => spans.push((segment.start, segment.end)),
        }
    }
    match (spans.first(), spans.last()) {
        (Some((start, _)), Some((_, end))) if spans.len() * series >= MOST_LOOKUPS => {
            vec![(*start, *end)]
        }
        _ => spans,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::rollup::{LEVELS, Source};

    #[test]
    fn spans_join_what_is_near_and_all_where_look_ups_would_be_too_many() {
        let hour = |hour: i64| DateTime::UNIX_EPOCH + TimeDelta::hours(hour);
        let level = LEVELS[2];
        let segment = |start, end| Segment {
            source: Source::Level(level),
            start: hour(start),
            end: hour(end),
            place: 0,
        };
        let segments = [segment(0, 1), segment(1, 4), segment(9, 10), segment(16, 17)];
        let found = |series, depth| spans(&segments, series, level, depth);
        assert_eq!(found(1, Depth::Sums), [(hour(0), hour(10)), (hour(16), hour(17))]);
        assert_eq!(found(MOST_LOOKUPS, Depth::Sums), [(hour(0), hour(17))]);
        let apart = [(hour(0), hour(4)), (hour(9), hour(10)), (hour(16), hour(17))];
        assert_eq!(found(1, Depth::Distributions), apart);
    }
}
