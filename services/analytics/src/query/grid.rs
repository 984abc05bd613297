//! Buckets of a time series in the caller's time zone. The buckets of a zone and
//! a width are a fixed grid, whatever the range: below a day they are counted
//! from each local midnight (the last one of a day ends at the next midnight);
//! from a day on they begin at local midnights, weeks on Mondays. So days of 23
//! and 25 hours and zones of half hours are right, and two answers can be
//! joined.

use chrono::{
    DateTime, Datelike as _, Days, LocalResult, NaiveDate, TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::Tz;
use modash_proto::{TimeRange, timestamp_from_micros};

/// Most buckets of one answer.
pub(crate) const MAX_BUCKETS: usize = 1_500;

/// Widest bucket that can be asked for: a week.
pub(crate) const MAX_BUCKET_SECONDS: u32 = 604_800;

/// Most buckets where the width is chosen here.
const AUTO_BUCKETS: i64 = 300;

const DAY: u32 = 86_400;

/// Widths to choose from, so near to each other that there are 60 buckets or
/// more, unless the range is less than a minute. The last ones serve ranges of
/// decades.
const WIDTHS: [u32; 24] = [
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1_800,
    3_600,
    7_200,
    10_800,
    21_600,
    43_200,
    DAY,
    2 * DAY,
    7 * DAY,
    28 * DAY,
    91 * DAY,
    364 * DAY,
    3_640 * DAY,
];

/// Consecutive buckets that cover a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Nominal width.
    pub(crate) bucket_seconds: u32,
    /// Start of each bucket.
    pub(crate) starts: Vec<DateTime<Utc>>,
    /// End of the last one.
    end: DateTime<Utc>,
}

impl Grid {
    /// The buckets of a range; a width of 0 is chosen by the range.
    ///
    /// # Errors
    /// What is wrong with the width.
    pub(crate) fn new(range: TimeRange, zone: Tz, bucket_seconds: u32) -> Result<Self, String> {
        let width = if bucket_seconds == 0 { width_for(range) } else { bucket_seconds };
        if bucket_seconds > MAX_BUCKET_SECONDS {
            return Err(format!("must be at most {MAX_BUCKET_SECONDS}, a week"));
        }
        if width > DAY && !width.is_multiple_of(DAY) {
            return Err("must be a whole number of days, if more than one".to_owned());
        }
        let too_many = || format!("gives more than {MAX_BUCKETS} buckets in this range");
        if range.length().num_seconds() / i64::from(width) > MAX_BUCKETS as i64 {
            return Err(too_many());
        }
        let grid = if width < DAY {
            Self::of_parts_of_days(range, zone, width)
        } else {
            Self::of_days(range, zone, width)
        };
        if grid.starts.len() > MAX_BUCKETS { Err(too_many()) } else { Ok(grid) }
    }

    /// Each local midnight, and from there on every `width` seconds.
    fn of_parts_of_days(range: TimeRange, zone: Tz, width: u32) -> Self {
        let step = TimeDelta::seconds(width.into());
        let mut day = range.start.with_timezone(&zone).date_naive();
        let mut midnight = midnight(day, zone);
        let mut starts = Vec::new();
        loop {
            day = day + Days::new(1);
            let next_midnight = self::midnight(day, zone);
            let passed = (range.start - midnight).num_seconds().max(0) / i64::from(width);
            let mut start = midnight + TimeDelta::seconds(passed * i64::from(width));
            while start < next_midnight {
                if start >= range.end {
                    return Self { bucket_seconds: width, starts, end: start };
                }
                starts.push(start);
                start += step;
            }
            midnight = next_midnight;
        }
    }

    /// Every so many local midnights, counted from a Monday.
    fn of_days(range: TimeRange, zone: Tz, width: u32) -> Self {
        let days = (width / DAY).cast_signed();
        let first = range.start.with_timezone(&zone).date_naive();
        // 1 January of year 1 was a Monday, and is day 1.
        let into = (first.num_days_from_ce() - 1).rem_euclid(days);
        let mut day = first - Days::new(into.unsigned_abs().into());
        let mut starts = Vec::new();
        loop {
            let start = midnight(day, zone);
            if start >= range.end {
                return Self { bucket_seconds: width, starts, end: start };
            }
            starts.push(start);
            day = day + Days::new(days.unsigned_abs().into());
        }
    }

    /// Bounds of the parts of the buckets that lie in a range.
    pub(crate) fn bounds(&self, range: TimeRange) -> Vec<DateTime<Utc>> {
        let inner = self.starts.iter().skip(1).copied();
        [range.start].into_iter().chain(inner).chain([range.end]).collect()
    }

    /// Seconds of each bucket.
    pub(crate) fn seconds(&self) -> impl Iterator<Item = f64> + '_ {
        let ends = self.starts.iter().skip(1).chain([&self.end]);
        self.starts.iter().zip(ends).map(|(start, end)| (*end - *start).as_seconds_f64())
    }

    /// Starts, for the wire.
    pub(crate) fn wire_starts(&self) -> Vec<prost_types::Timestamp> {
        self.starts.iter().map(|start| timestamp_from_micros(start.timestamp_micros())).collect()
    }
}

/// The narrowest width that gives a chart no more points than it can show.
fn width_for(range: TimeRange) -> u32 {
    let seconds = range.length().num_seconds();
    let fits = |width: &&u32| seconds <= AUTO_BUCKETS * i64::from(**width);
    *WIDTHS.iter().find(fits).unwrap_or(&WIDTHS[WIDTHS.len() - 1])
}

/// The first moment of a day. Where clocks are put forward at midnight the day
/// begins later; where they are put back over it, the first of two midnights
/// counts.
pub(crate) fn midnight(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let local = day.and_time(chrono::NaiveTime::MIN);
    match zone.from_local_datetime(&local) {
        LocalResult::Single(start) => start.to_utc(),
        LocalResult::Ambiguous(first, _) => first.to_utc(),
        LocalResult::None => {
            // Somewhere in these two days the date changes to `day` or, where a
            // zone left out a whole day, to a later one.
            let (mut before, mut after) =
                (local.and_utc() - TimeDelta::days(1), local.and_utc() + TimeDelta::days(1));
            while after - before > TimeDelta::seconds(1) {
                let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
                if middle.with_timezone(&zone).date_naive() >= day {
                    after = middle;
                } else {
                    before = middle;
                }
            }
            after
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(start: &str, end: &str, zone: &str, width: u32) -> Result<Grid, String> {
        let range = TimeRange { start: start.parse().unwrap(), end: end.parse().unwrap() };
        Grid::new(range, zone.parse().unwrap(), width)
    }

    fn starts(start: &str, end: &str, zone: &str, width: u32) -> Vec<String> {
        let grid = grid(start, end, zone, width).unwrap();
        grid.starts.iter().map(|start| start.to_rfc3339().replace("+00:00", "Z")).collect()
    }

    #[test]
    fn days_of_23_and_25_hours_are_whole_days() {
        let days = grid("2026-10-24T22:00:00Z", "2026-10-26T00:00:00Z", "Europe/Berlin", DAY);
        let lengths: Vec<_> = days.unwrap().seconds().map(|seconds| seconds / 3600.0).collect();
        assert_eq!(lengths, [25.0, 24.0]);
        let days = grid("2026-03-28T23:00:00Z", "2026-03-30T00:00:00Z", "Europe/Berlin", DAY);
        let lengths: Vec<_> = days.unwrap().seconds().map(|seconds| seconds / 3600.0).collect();
        assert_eq!(lengths, [23.0, 24.0]);
    }

    #[test]
    fn hours_of_a_zone_of_half_hours_begin_at_its_full_hours() {
        assert_eq!(
            starts("2026-11-23T00:10:00Z", "2026-11-23T02:00:00Z", "Asia/Kolkata", 3600),
            ["2026-11-22T23:30:00Z", "2026-11-23T00:30:00Z", "2026-11-23T01:30:00Z"]
        );
    }

    #[test]
    fn a_part_of_a_day_never_crosses_midnight() {
        let grid = grid("2026-10-24T22:00:00Z", "2026-10-25T23:00:01Z", "Europe/Berlin", 6 * 3600);
        let hours: Vec<_> = grid.unwrap().seconds().map(|seconds| seconds / 3600.0).collect();
        assert_eq!(hours, [6.0, 6.0, 6.0, 6.0, 1.0, 6.0]);
    }

    #[test]
    fn the_grid_does_not_depend_on_the_range() {
        for (zone, width) in [("Asia/Kathmandu", 1000), ("America/New_York", 7 * DAY)] {
            let wide = grid("2026-10-01T00:00:00Z", "2026-10-17T00:00:00Z", zone, width).unwrap();
            let narrow = grid("2026-10-09T13:07:11Z", "2026-10-17T00:00:00Z", zone, width).unwrap();
            assert!(wide.starts.ends_with(&narrow.starts), "{zone}");
        }
    }

    #[test]
    fn weeks_begin_on_mondays() {
        assert_eq!(
            starts("2026-11-25T00:00:00Z", "2026-12-01T00:00:00Z", "UTC", 7 * DAY),
            ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"]
        );
    }

    #[test]
    fn a_day_without_midnight_begins_when_its_clocks_do() {
        // Beirut puts its clocks forward at midnight.
        assert_eq!(
            starts("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", "Asia/Beirut", DAY),
            ["2026-03-27T22:00:00Z", "2026-03-28T22:00:00Z"]
        );
    }

    #[test]
    fn the_chosen_width_gives_60_to_300_buckets() {
        let end: DateTime<Utc> = "2026-11-23T00:00:00Z".parse().unwrap();
        for minutes in (1..60).chain((60..1_000_000).step_by(997)) {
            let range = TimeRange { start: end - TimeDelta::minutes(minutes), end };
            let grid = Grid::new(range, Tz::UTC, 0).unwrap();
            assert!((60..=302).contains(&grid.starts.len()), "{minutes} {}", grid.starts.len());
        }
    }

    #[test]
    fn a_bucket_that_is_too_fine_too_wide_or_uneven_is_refused() {
        let day = |width| grid("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "UTC", width);
        assert!(day(57).unwrap_err().contains("1500"));
        assert!(day(58).is_ok());
        assert!(day(604_801).is_err());
        assert!(day(DAY + 1).is_err());
        let ages = grid("0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "Asia/Tokyo", 0);
        assert!(ages.unwrap().starts.len() <= MAX_BUCKETS);
    }

    #[test]
    fn every_range_is_covered_in_every_zone() {
        for zone in chrono_tz::TZ_VARIANTS {
            for (width, length) in [(3_600, 40), (DAY, 60 * 24), (2 * DAY, 90 * 24)] {
                let start: DateTime<Utc> = "2026-03-01T03:04:05Z".parse().unwrap();
                let range = TimeRange { start, end: start + TimeDelta::hours(length) };
                let grid = Grid::new(range, zone, width).unwrap();
                assert!(grid.starts[0] <= range.start && grid.end >= range.end, "{zone}");
                assert!(grid.starts.is_sorted_by(|a, b| a < b), "{zone}");
                assert!(grid.starts.len() < 2 || grid.starts[1] > range.start, "{zone}");
            }
        }
    }
}
