//! How much the database holds.

use chrono::{DateTime, NaiveDate, Utc};

use super::{Error, Store, rollups::all_levels, row::from_row};
use crate::{data::TableSize, rollup::Sets};

/// A partition that begins with a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DayPartition {
    /// The day, UTC.
    pub(crate) day: NaiveDate,
    /// Rows, estimated unless counted.
    pub(crate) rows: i64,
    /// With indexes.
    pub(crate) bytes: i64,
}

from_row!(DayPartition { day, rows, bytes });

/// How long something is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// In words.
    pub(crate) what: &'static str,
    /// Its table.
    pub(crate) table: String,
    /// First day of the first partition that is kept.
    pub(crate) since: NaiveDate,
    /// For how many days.
    pub(crate) days: u32,
    /// The setting that says so.
    pub(crate) setting: &'static str,
}

impl Store {
    /// Whether the schema was ever made.
    pub(crate) async fn has_tables(&self) -> Result<bool, Error> {
        let statement = include_str!("queries/has_tables.sql");
        Ok(sqlx::query_scalar(statement).fetch_one(self.reads.pool()).await?)
    }

    /// All tables, the largest first. Rows are PostgreSQL's estimates where it has
    /// some, unless they are to be exact.
    pub(crate) async fn table_sizes(&self, exact: bool) -> Result<Vec<TableSize>, Error> {
        let statement = include_str!("queries/table_sizes.sql");
        Ok(sqlx::query_as(statement).bind(exact).fetch_all(self.reads.pool()).await?)
    }

    /// The partitions of a table by day or month, in order.
    pub(crate) async fn partitions_of(
        &self,
        table: &str,
        exact: bool,
    ) -> Result<Vec<DayPartition>, Error> {
        let statement = include_str!("queries/partitions_of.sql");
        Ok(sqlx::query_as(statement).bind(exact).bind(table).fetch_all(self.reads.pool()).await?)
    }

    /// What is kept for how long, if it is `now`.
    pub(crate) fn kept(&self, now: DateTime<Utc>) -> Vec<Kept> {
        let requests = Kept {
            what: "requests",
            table: "requests".to_owned(),
            since: self.partitions.oldest(now),
            days: self.partitions.retention_days(),
            setting: "MODASH_ANALYTICS_RETENTION_DAYS",
        };
        let levels = all_levels().map(|(level, sets)| {
            let full = sets == Sets::Full;
            let (what, setting) = match (level.width, full) {
                (60, false) => ("sums by minute", "MODASH_ANALYTICS_MINUTE_ROLLUP_DAYS"),
                (60, true) => ("by minute, all sets", "MODASH_ANALYTICS_MINUTE_ROLLUP_DAYS"),
                (900, false) => ("by quarter of an hour", "MODASH_ANALYTICS_ROLLUP_DAYS"),
                (900, true) => {
                    ("by quarter of an hour, all sets", "MODASH_ANALYTICS_QUARTER_HOUR_ROLLUP_DAYS")
                }
                (3_600, false) => ("by hour", "MODASH_ANALYTICS_ROLLUP_DAYS"),
                (3_600, true) => ("by hour, all sets", "MODASH_ANALYTICS_ROLLUP_DAYS"),
                (21_600, false) => ("by six hours", "MODASH_ANALYTICS_ROLLUP_DAYS"),
                (21_600, true) => ("by six hours, all sets", "MODASH_ANALYTICS_ROLLUP_DAYS"),
                (86_400, false) => ("by day", "MODASH_ANALYTICS_ROLLUP_DAYS"),
                (86_400, true) => ("by day, all sets", "MODASH_ANALYTICS_ROLLUP_DAYS"),
                (_, _) => ("by week", "MODASH_ANALYTICS_ROLLUP_DAYS"),
            };
            Kept {
                what,
                table: format!("{}rollups_{}", if full { "full_" } else { "" }, level.width),
                since: self.levels.kept_from(level, sets, now).date_naive(),
                days: self.levels.days(level, sets),
                setting,
            }
        });
        std::iter::once(requests).chain(levels).collect()
    }

    /// The first and the last day with requests in a range, if there are any.
    pub(crate) async fn days_with_requests(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<(NaiveDate, NaiveDate)>, Error> {
        let statement = include_str!("queries/days_with_requests.sql");
        let found: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
            sqlx::query_as(statement).bind(from).bind(until).fetch_one(self.reads.pool()).await?;
        Ok(found.0.zip(found.1).map(|(first, last)| (first.date_naive(), last.date_naive())))
    }
}
