//! The widths of buckets, and the partitions that they are kept in.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, TimeDelta, Utc};

/// One width of buckets. Buckets are counted from 1970-01-01, UTC, so the bounds
/// of a level are bounds of every finer one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Level {
    /// Seconds of a bucket.
    pub(crate) width: i32,
}

/// All levels, the finest first. Quarter hours are the smallest step between
/// time zones; six hours are the largest that fit well into days of any zone. Weeks
/// begin on Thursdays, as the days since 1970 do, and make totals of months cheap.
pub(crate) const LEVELS: [Level; 6] = [
    Level { width: 60 },
    Level { width: 900 },
    Level { width: 3_600 },
    Level { width: 21_600 },
    DAY,
    WEEK,
];

/// The widest level that is summed up from requests.
pub(crate) const DAY: Level = Level { width: 86_400 };

/// The sum of its days; of narrow sets only.
pub(crate) const WEEK: Level = Level { width: 604_800 };

/// Which dimension sets: rollups of both are kept apart from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sets {
    /// Those of the narrow cubes, which are few.
    Narrow,
    /// The full ones.
    Full,
}

impl Sets {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Narrow, Self::Full];

    /// The levels that they have rollups of, the first ones of [`LEVELS`].
    pub(crate) fn levels(self) -> &'static [Level] {
        match self {
            Self::Narrow => &LEVELS,
            Self::Full => &LEVELS[..LEVELS.len() - 1],
        }
    }
}

impl Level {
    /// Number of the level in the schema: its width, negative for full sets.
    pub(crate) fn number(self, sets: Sets) -> i32 {
        match sets {
            Sets::Narrow => self.width,
            Sets::Full => -self.width,
        }
    }

    /// Whether rows of it have errors: requests tell those of a part of an hour.
    pub(crate) fn has_errors(self) -> bool {
        self.width >= 3_600
    }

    /// Length of a bucket.
    pub(crate) fn length(self) -> TimeDelta {
        TimeDelta::seconds(self.width.into())
    }

    /// Start of the bucket that holds a moment.
    pub(crate) fn floor(self, at: DateTime<Utc>) -> DateTime<Utc> {
        let width = i64::from(self.width) * 1_000_000;
        let micros = at.timestamp_micros();
        // Within the years of the contract.
        DateTime::from_timestamp_micros(micros - micros.rem_euclid(width)).unwrap_or(at)
    }

    /// Start of the first bucket that begins at a moment or after it.
    pub(crate) fn ceil(self, at: DateTime<Utc>) -> DateTime<Utc> {
        let floor = self.floor(at);
        if floor == at { at } else { floor.checked_add_signed(self.length()).unwrap_or(at) }
    }

    /// First day of the partition of a bucket, and the first one after it: a day
    /// for minutes, a month for all others.
    pub(crate) fn partition(self, bucket: DateTime<Utc>) -> (NaiveDate, NaiveDate) {
        let day = bucket.date_naive();
        if self.width == LEVELS[0].width {
            return (day, day + Days::new(1));
        }
        let first = day - Days::new(day.day0().into());
        (first, first + Months::new(1))
    }

    /// The moment from which on this level is kept, if it is kept for so many
    /// days before now: the start of a partition.
    pub(crate) fn kept_from(self, now: DateTime<Utc>, days: u32) -> DateTime<Utc> {
        let oldest = now.checked_sub_days(Days::new(days.into())).unwrap_or(now);
        self.partition(oldest).0.and_time(NaiveTime::MIN).and_utc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn bounds_of_a_level_are_bounds_of_the_finer_ones() {
        for pair in LEVELS.windows(2) {
            assert_eq!(pair[1].width % pair[0].width, 0);
        }
        assert_eq!(LEVELS[4].floor(at("1969-12-31T23:59:59Z")), at("1969-12-31T00:00:00Z"));
        assert_eq!(LEVELS[1].ceil(at("2026-01-01T00:15:00Z")), at("2026-01-01T00:15:00Z"));
        assert_eq!(LEVELS[1].ceil(at("2026-01-01T00:15:00.000001Z")), at("2026-01-01T00:30:00Z"));
    }

    #[test]
    fn partitions_are_days_and_months() {
        let bucket = at("2026-12-31T23:45:00Z");
        let days = |level: Level| {
            let (first, after) = level.partition(bucket);
            format!("{first} {after}")
        };
        assert_eq!(days(LEVELS[0]), "2026-12-31 2027-01-01");
        assert_eq!(days(LEVELS[1]), "2026-12-01 2027-01-01");
        assert_eq!(LEVELS[2].kept_from(bucket, 40), at("2026-11-01T00:00:00Z"));
    }
}
