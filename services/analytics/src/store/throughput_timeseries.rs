//! Speeds, waiting times and concurrency over time.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use modash_histogram::Histogram;
use sqlx::{FromRow, Row as _};
use std::collections::HashMap;

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

    /// Rates and waiting times of some groups by bucket.
    pub(crate) async fn throughput_timeseries(
        &self,
        selection: &Selection,
        bucket_starts: &[DateTime<Utc>],
        grouping: &Grouping,
        keys: &[String],
    ) -> Result<Vec<ThroughputCell>, Error> {
        let cells = selection
            .query_as(include_str!("queries/throughput_timeseries.sql"))
            .bind(bucket_starts)
            .bind(grouping.code())
            .bind(grouping.tag())
            .bind(keys)
            .fetch_all(self.reader()?)
            .await?;
        Ok(cells)
    }

    /// Requests in flight of some groups by bucket.
    pub(crate) async fn concurrency(
        &self,
        selection: &Selection,
        bucket_starts: &[DateTime<Utc>],
        grouping: &Grouping,
        keys: &[String],
    ) -> Result<Vec<ConcurrencyCell>, Error> {
        let cells = selection
            .query_as(include_str!("queries/concurrency.sql"))
            .bind(bucket_starts)
            .bind(grouping.code())
            .bind(grouping.tag())
            .bind(keys)
            .fetch_all(self.reader()?)
            .await?;
        Ok(cells)
    }

    /// Token gaps of some groups by bucket, merged row by row as they arrive.
    pub(crate) async fn token_gaps(
        &self,
        selection: &Selection,
        bucket_starts: &[DateTime<Utc>],
        grouping: &Grouping,
        keys: &[String],
    ) -> Result<Vec<GapCell>, Error> {
        let mut rows = selection
            .query(include_str!("queries/token_gaps.sql"))
            .bind(bucket_starts)
            .bind(grouping.code())
            .bind(grouping.tag())
            .bind(keys)
            .fetch(self.reader()?);
        let mut merged: HashMap<(String, i32), Histogram> = HashMap::new();
        while let Some(row) = rows.try_next().await? {
            let cell = (row.try_get("key")?, row.try_get("bucket")?);
            let histogram = merged.entry(cell).or_default();
            for (bucket, count) in unpack_histogram(row.try_get("token_gaps")?) {
                histogram.add(bucket, count);
            }
        }
        let cells = merged.into_iter().map(|((key, bucket), gaps)| GapCell { key, bucket, gaps });
        Ok(cells.collect())
    }
}
