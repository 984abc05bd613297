//! Requests in flight over time, from single requests: where no rollups tell.

use chrono::{DateTime, Utc};

use super::{Error, Grouping, Selection, Snapshot, row::from_row, traced::Traced as _};

/// Requests in flight of one group in one bucket.
#[derive(Debug, Clone)]
pub(crate) struct ConcurrencyCell {
    pub(crate) key: String,
    /// From 1.
    pub(crate) bucket: i32,
    /// Over the part of the bucket that is in the range.
    pub(crate) mean: f64,
    pub(crate) most: i64,
    /// Requests that were looked at, for all cells together.
    read: i64,
}

from_row!(ConcurrencyCell { key, bucket, mean, most, read });

impl Snapshot {
    /// Requests in flight of some groups, by bucket.
    pub(crate) async fn concurrency(
        &mut self,
        selection: &Selection,
        bucket_starts: &[DateTime<Utc>],
        grouping: &Grouping,
        keys: &[String],
    ) -> Result<Vec<ConcurrencyCell>, Error> {
        self.plan_for_requests().await?;
        let cells: Vec<ConcurrencyCell> = selection
            .query_as(include_str!("queries/concurrency.sql"))
            .bind(bucket_starts)
            .bind(grouping.code())
            .bind(grouping.tag())
            .bind(keys)
            .bind(self.rows_left + 1)
            .fetch_all(&mut self.transaction)
            .traced("concurrency")
            .await?;
        self.spend(cells.first().map_or(0, |cell| cell.read))?;
        Ok(cells)
    }
}
