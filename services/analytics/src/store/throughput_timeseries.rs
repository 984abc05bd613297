//! Speeds, waiting times and concurrency over time.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use modash_histogram::Histogram;
use sqlx::{
    FromRow, Postgres,
    postgres::{PgArguments, PgRow},
    query::QueryAs,
};

use super::{Error, Grouping, Selection, Store, insert_requests::unpack_histogram};

/// One group in one bucket that had requests.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ThroughputCell {
    pub(crate) key: String,
    /// From 1.
    pub(crate) bucket: i32,
    pub(crate) requests: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) requests_with_decode: i64,
    pub(crate) requests_with_prefill: i64,
    pub(crate) requests_with_first_token: i64,
    /// Percentiles 5, 50, 95.
    pub(crate) decode_rate: Option<Vec<Option<f64>>>,
    /// Median.
    pub(crate) prefill_rate: Option<f64>,
    /// Percentiles 50, 95, 99.
    pub(crate) first_token_us: Option<Vec<Option<f64>>>,
}

/// Requests in flight of one group in one bucket.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ConcurrencyCell {
    pub(crate) key: String,
    /// From 1.
    pub(crate) bucket: i32,
    /// Over the part of the bucket that is in the range.
    pub(crate) mean: f64,
    pub(crate) most: i64,
}

/// Gaps between content events of one group in one bucket.
#[derive(Debug, Clone)]
pub(crate) struct GapCell {
    pub(crate) key: String,
    /// From 1.
    pub(crate) bucket: i32,
    /// In microseconds.
    pub(crate) gaps: Histogram,
}

/// What the statements of this file ask for: some groups of a selection by bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) bucket_starts: &'a [DateTime<Utc>],
    pub(crate) grouping: &'a Grouping,
    pub(crate) keys: &'a [String],
}

impl<'a> Cells<'a> {
    fn query_as<T>(&self, statement: &'static str) -> QueryAs<'a, Postgres, T, PgArguments>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        self.selection
            .query_as(statement)
            .bind(self.bucket_starts)
            .bind(self.grouping.code())
            .bind(self.grouping.tag())
            .bind(self.keys)
    }
}

impl Store {
    /// The groups with the most requests, the largest first.
    pub(crate) async fn largest_groups(
        &self,
        selection: &Selection,
        grouping: &Grouping,
        top: u32,
    ) -> Result<Vec<String>, Error> {
        let keys: Vec<(String,)> = selection
            .query_as(include_str!("queries/largest_groups.sql"))
            .bind(grouping.code())
            .bind(grouping.tag())
            .bind(i64::from(top))
            .fetch_all(self.reader()?)
            .await?;
        Ok(keys.into_iter().map(|(key,)| key).collect())
    }

    /// Rates and waiting times.
    pub(crate) async fn throughput(&self, cells: &Cells<'_>) -> Result<Vec<ThroughputCell>, Error> {
        let statement = include_str!("queries/throughput_timeseries.sql");
        Ok(cells.query_as(statement).fetch_all(self.reader()?).await?)
    }

    /// Requests in flight.
    pub(crate) async fn concurrency(
        &self,
        cells: &Cells<'_>,
    ) -> Result<Vec<ConcurrencyCell>, Error> {
        let statement = include_str!("queries/concurrency.sql");
        Ok(cells.query_as(statement).fetch_all(self.reader()?).await?)
    }

    /// Token gaps, merged row by row as they arrive.
    pub(crate) async fn token_gaps(&self, cells: &Cells<'_>) -> Result<Vec<GapCell>, Error> {
        let statement = include_str!("queries/token_gaps.sql");
        let mut rows = cells.query_as(statement).fetch(self.reader()?);
        let mut merged: HashMap<(String, i32), Histogram> = HashMap::new();
        while let Some((key, bucket, packed)) = rows.try_next().await? {
            let packed: Vec<u8> = packed;
            let histogram = merged.entry((key, bucket)).or_default();
            for (bucket, count) in unpack_histogram(&packed) {
                histogram.add(bucket, count);
            }
        }
        let cells = merged.into_iter().map(|((key, bucket), gaps)| GapCell { key, bucket, gaps });
        Ok(cells.collect())
    }
}
