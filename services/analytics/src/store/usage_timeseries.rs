//! Requests and tokens over time.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Error, Grouping, Selection, Store};

/// One group in one bucket that had requests.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct UsageCell {
    /// From 1, the largest group; one more than the groups asked for is the sum
    /// of all others.
    pub(crate) rank: i64,
    /// The group's value; of no meaning for the others.
    pub(crate) key: String,
    /// From 1.
    pub(crate) bucket: i32,
    pub(crate) requests: i64,
    pub(crate) failed_requests: i64,
    pub(crate) prompt_tokens: i64,
    pub(crate) cached_prompt_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) reasoning_tokens: i64,
    pub(crate) total_tokens: i64,
}

impl Store {
    /// Sums up a selection by bucket and group, in the order of rank.
    pub(crate) async fn usage_timeseries(
        &self,
        selection: &Selection,
        bucket_starts: &[DateTime<Utc>],
        grouping: &Grouping,
        top: u32,
    ) -> Result<Vec<UsageCell>, Error> {
        let cells = selection
            .query_as(include_str!("queries/usage_timeseries.sql"))
            .bind(bucket_starts)
            .bind(grouping.code())
            .bind(grouping.tag())
            .bind(i64::from(top))
            .fetch_all(self.reader()?)
            .await?;
        Ok(cells)
    }
}
