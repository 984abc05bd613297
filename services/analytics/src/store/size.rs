//! How much the database holds.

use chrono::{DateTime, NaiveDate, Utc};

use super::{Error, Store};
use crate::data::TableSize;

/// The stored requests of a day.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct RequestDay {
    /// The day, UTC.
    pub(crate) day: NaiveDate,
    /// Requests, estimated unless counted.
    pub(crate) rows: i64,
    /// With indexes.
    pub(crate) bytes: i64,
}

impl Store {
    /// Whether the schema was ever made.
    pub(crate) async fn has_tables(&self) -> Result<bool, Error> {
        let statement = include_str!("queries/has_tables.sql");
        Ok(sqlx::query_scalar(statement).fetch_one(&self.read).await?)
    }

    /// All tables, the largest first. Rows are PostgreSQL's estimates where it has
    /// some, unless they are to be exact.
    pub(crate) async fn table_sizes(&self, exact: bool) -> Result<Vec<TableSize>, Error> {
        let statement = include_str!("queries/table_sizes.sql");
        Ok(sqlx::query_as(statement).bind(exact).fetch_all(&self.read).await?)
    }

    /// The days that have a partition, in order.
    pub(crate) async fn request_days(&self, exact: bool) -> Result<Vec<RequestDay>, Error> {
        let statement = include_str!("queries/days_of_requests.sql");
        Ok(sqlx::query_as(statement).bind(exact).fetch_all(&self.read).await?)
    }

    /// The first and the last day with requests in a range, if there are any.
    pub(crate) async fn days_with_requests(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<(NaiveDate, NaiveDate)>, Error> {
        let statement = include_str!("queries/days_with_requests.sql");
        let found: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
            sqlx::query_as(statement).bind(from).bind(until).fetch_one(&self.read).await?;
        Ok(found.0.zip(found.1).map(|(first, last)| (first.date_naive(), last.date_naive())))
    }
}
