//! All that knows the database. One method for each thing that is asked of it,
//! one file with a statement for each of them in `queries/`.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgPool, types::Uuid};
use tokio::sync::watch;

use crate::config::{AnalyticsConfig, DatabaseUrl};

mod bulk;
mod connect;
mod error;
mod export;
mod insert_requests;
mod model_breakdown;
mod partitions;
mod quarantine;
mod recent_requests;
mod replicas;
mod selection;
mod series;
mod size;
mod throughput_timeseries;
mod usage_summary;
mod usage_timeseries;

pub use connect::PrepareError;
pub(crate) use connect::WRITE_TIMEOUT;
pub use error::Error;
pub(crate) use insert_requests::Row;
pub(crate) use model_breakdown::{ModelOrder, ModelRow, SPARKLINE_PARTS};
pub(crate) use partitions::Misplaced;
pub(crate) use quarantine::Refused;
pub(crate) use recent_requests::{Page, Position};
pub(crate) use replicas::PublishedRequest;
pub(crate) use selection::{Grouping, Selection};
pub(crate) use size::RequestDay;
pub(crate) use throughput_timeseries::{Cells, ConcurrencyCell, GapCell, ThroughputCell};
pub(crate) use usage_summary::UsageSummaryRow;
pub(crate) use usage_timeseries::UsageCell;

/// Connections for writing: one for each writer, one that listens, one for
/// upkeep, one to spare.
const WRITE_CONNECTIONS: u32 = 5;

/// The database of analytics.
#[derive(Debug)]
pub(crate) struct Store {
    url: DatabaseUrl,
    write: PgPool,
    read: PgPool,
    series: series::SeriesCache,
    partitions: partitions::Partitions,
    prepared: watch::Sender<bool>,
}

impl Store {
    /// A store that connects when it is first used.
    pub(crate) fn new(url: DatabaseUrl, config: &AnalyticsConfig) -> Self {
        let read_url = config.read_database_url.as_ref().unwrap_or(&url);
        Self {
            write: connect::write_pool(&url, WRITE_CONNECTIONS),
            read: connect::read_pool(read_url, config.query_connections, config.query_timeout),
            series: series::SeriesCache::default(),
            partitions: partitions::Partitions::new(config.retention_days),
            prepared: watch::Sender::new(false),
            url,
        }
    }

    /// A store for commands: no statement of it has to be quick, and it is used
    /// with the schema that is there.
    pub(crate) fn for_commands(config: &AnalyticsConfig) -> Result<Arc<Self>, crate::Error> {
        let url = config.database_url.clone().ok_or(crate::Error::NoDatabaseUrl)?;
        let read_url = config.read_database_url.as_ref().unwrap_or(&url);
        Ok(Arc::new(Self {
            write: connect::command_pool(&url),
            read: connect::command_pool(read_url),
            series: series::SeriesCache::default(),
            partitions: partitions::Partitions::new(config.retention_days),
            prepared: watch::Sender::new(true),
            url,
        }))
    }

    /// Applies the migrations and makes the partitions of these days. Until it
    /// succeeded once, queries are refused and writers wait.
    pub(crate) async fn prepare(&self) -> Result<(), PrepareError> {
        connect::migrate(&self.url).await?;
        self.maintain(Utc::now()).await.map_err(PrepareError::Connect)?;
        self.prepared.send_replace(true);
        Ok(())
    }

    /// Applies the migrations and nothing else.
    pub(crate) async fn migrate(&self) -> Result<(), PrepareError> {
        connect::migrate(&self.url).await
    }

    /// Waits until the store is prepared.
    pub(crate) async fn prepared(&self) {
        // The sender lives as long as self.
        let _ = self.prepared.subscribe().wait_for(|prepared| *prepared).await;
    }

    /// Makes partitions ahead of time and drops those beyond the retention.
    pub(crate) async fn maintain(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let dropped = self.partitions.maintain(&self.write, now).await?;
        if dropped > 0 {
            tracing::info!(partitions = dropped, "dropped requests older than the retention");
        }
        Ok(())
    }

    /// The first day whose requests are kept.
    pub(crate) fn oldest_day(&self, now: DateTime<Utc>) -> NaiveDate {
        self.partitions.oldest(now)
    }

    /// Whether a request of this start can be stored.
    pub(crate) fn place(&self, started_at: DateTime<Utc>) -> Result<(), Misplaced> {
        self.partitions.place(started_at, Utc::now())
    }

    /// Stores rows that are in the order of (started_at, id), so that writers do
    /// not wait for each other in circles, and keeps refused events. All of it or
    /// nothing; gives the ids of the rows that were not there before.
    pub(crate) async fn insert(
        &self,
        rows: &[Row],
        refused: &[Refused],
    ) -> Result<Vec<Uuid>, Error> {
        let days = rows.iter().map(|row| row.started_at.date_naive());
        self.partitions.ensure(&self.write, days).await?;
        let series = self.series.resolve(&self.write, rows).await?;
        let mut transaction = self.write.begin().await?;
        quarantine::add(&mut transaction, refused).await?;
        let inserted = if rows.is_empty() {
            Vec::new()
        } else {
            insert_requests::insert(&mut transaction, rows, &series).await.inspect_err(|_| {
                // Perhaps its partition was dropped by another process.
                self.partitions.forget();
            })?
        };
        transaction.commit().await?;
        Ok(inserted)
    }

    /// The pool of the queries, once the schema is there.
    fn reader(&self) -> Result<&PgPool, Error> {
        if *self.prepared.borrow() { Ok(&self.read) } else { Err(Error::NotPrepared) }
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
