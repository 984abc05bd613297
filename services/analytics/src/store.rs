//! All that knows the database. One method for each thing that is asked of it,
//! one file with a statement for each of them in `queries/`.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{PgPool, types::Uuid};
use tokio::sync::watch;

use crate::config::{AnalyticsConfig, DatabaseUrl, LISTEN_DATABASE_URL};
use connect::Reach;
use dimensions::Dimensions;
use insert_requests::Shared;
use pool::{Pool, Transaction};
use remembered::Remembered;
use repeats::Repeats;
use traced::Traced as _;

mod activity;
mod bookings;
mod budgets;
mod bulk;
mod cache;
mod chains;
mod client_keys;
mod columns;
mod completeness;
mod concurrency;
mod connect;
mod copy;
mod costs;
mod dimensions;
mod edges;
mod error;
mod errors;
mod export;
mod fold;
mod grouping;
mod insert_requests;
mod inspect;
mod kinds;
mod marks;
mod names;
mod owners;
mod partitions;
mod pool;
mod pooler;
mod quarantine;
mod rate_limits;
mod reads;
mod rebuild;
mod recent_requests;
mod remembered;
mod repeats;
mod replicas;
mod rollups;
mod row;
mod segments;
mod selection;
mod series;
mod sessions;
mod size;
mod snapshot;
mod traced;
mod views;
mod weeks;
mod writes;

pub(crate) use budgets::{
    BudgetRow, Computed, DueNotice, MAX_BUDGETS, NewBudget, NewNotice, NoticeRow, Saved, Secret,
};
pub(crate) use completeness::{Report, Run, RunRow};
pub use connect::PrepareError;
pub(crate) use connect::{WRITE_TIMEOUT, pooler_advice};
pub(crate) use costs::PricedModel;
pub(crate) use dimensions::calls_no_model;
pub use error::Error;
pub(crate) use errors::{ErrorGroup, ErrorGroups};
pub(crate) use grouping::Grouping;
pub(crate) use insert_requests::Row;
pub(crate) use inspect::inspect;
pub(crate) use marks::MarkRow;
pub(crate) use names::{MAX_NAMES, NameRow};
pub(crate) use owners::Claim;
pub(crate) use partitions::Misplaced;
pub(crate) use quarantine::Refused;
pub(crate) use rate_limits::LimitSums;
pub use rebuild::Rebuilt;
pub(crate) use rebuild::Which;
pub(crate) use recent_requests::{Page, Position};
pub(crate) use replicas::PublishedRequest;
pub(crate) use row::from_row;
pub(crate) use selection::{Members, Selection};
pub(crate) use sessions::{SessionPage, SessionSums};
pub(crate) use size::{DayPartition, Kept};
pub(crate) use snapshot::{Cells, Depth, Snapshot};
pub(crate) use views::{MAX_VIEWS, ViewRow};

/// Connections for writing: one for each writer, one that listens, one that
/// moves changes into rollups, three for upkeep and rebuilding, one for budgets, one to
/// spare.
const WRITE_CONNECTIONS: u32 = 9;

/// Connections past a pooler: one that listens, one that moves changes into rollups, four
/// for upkeep and rebuilding.
const SESSION_CONNECTIONS: u32 = 6;

/// The database of analytics.
#[derive(Debug)]
pub(crate) struct Store {
    url: DatabaseUrl,
    write: Pool,
    session: Option<Session>,
    reads: reads::Reads,
    series: series::SeriesCache,
    kinds: kinds::Kinds,
    partitions: partitions::Partitions,
    levels: rollups::Levels,
    remembered: Arc<Remembered>,
    prepared: watch::Sender<bool>,
    query_rows: i64,
}

/// The way past a pooler in transaction mode, for what needs one connection for longer
/// than a transaction: LISTEN, VACUUM, the lock of the migrations; and for what waits for
/// locks or holds several transactions at a time, which may take all that the pooler has.
#[derive(Debug)]
struct Session {
    url: DatabaseUrl,
    pool: Pool,
}

impl Store {
    /// A store that connects when it is first used.
    pub(crate) fn new(url: DatabaseUrl, config: &AnalyticsConfig) -> Self {
        let session = config.listen_database_url.clone().map(|url| {
            let pool = connect::write_pool(&url, Reach::Direct, SESSION_CONNECTIONS);
            Session { url, pool }
        });
        let reach = if session.is_some() { Reach::Pooled } else { Reach::Direct };
        let read =
            |url| connect::read_pool(url, reach, config.query_connections, config.query_timeout);
        let replica = config.read_database_url.as_ref();
        Self {
            write: connect::write_pool(&url, reach, WRITE_CONNECTIONS),
            session,
            reads: reads::Reads::new(
                read(&url),
                replica.map(|url| (read(url), config.read_max_lag)),
            ),
            series: series::SeriesCache::new(config.series_limit),
            kinds: kinds::Kinds::default(),
            partitions: partitions::Partitions::new(config.retention_days),
            levels: rollups::Levels::new(config.rollup_days),
            remembered: Arc::default(),
            prepared: watch::Sender::new(false),
            query_rows: config.query_rows.into(),
            url,
        }
    }

    /// A store for commands: no statement of it has to be quick, and it is used
    /// with the schema that is there. Goes past a pooler in transaction mode: its
    /// transactions are long, and there are more of them at a time than a pooler may have
    /// connections.
    pub(crate) fn for_commands(config: &AnalyticsConfig) -> Result<Arc<Self>, crate::Error> {
        let database_url = config.database_url.as_ref().ok_or(crate::Error::NoDatabaseUrl)?;
        let direct_url = config.listen_database_url.as_ref();
        let url = direct_url.unwrap_or(database_url).clone();
        let reads = match &config.read_database_url {
            // As the other one, that URL may be a pooler's.
            Some(url) if direct_url.is_some() => connect::command_pool(url, Reach::Pooled),
            other => connect::command_pool(other.as_ref().unwrap_or(&url), Reach::Direct),
        };
        Ok(Arc::new(Self {
            write: connect::command_pool(&url, Reach::Direct),
            session: None,
            reads: reads::Reads::new(reads, None),
            series: series::SeriesCache::new(config.series_limit),
            kinds: kinds::Kinds::default(),
            partitions: partitions::Partitions::new(config.retention_days),
            levels: rollups::Levels::new(config.rollup_days),
            remembered: Arc::default(),
            prepared: watch::Sender::new(true),
            query_rows: i64::from(u32::MAX),
            url,
        }))
    }

    /// Applies the migrations and makes the partitions of these days. Until it
    /// succeeded once, queries are refused and writers wait.
    pub(crate) async fn prepare(&self) -> Result<(), PrepareError> {
        self.migrate().await?;
        self.maintain(Utc::now()).await.map_err(PrepareError::Connect)?;
        self.prepared.send_replace(true);
        Ok(())
    }

    /// Applies the migrations and nothing else.
    pub(crate) async fn migrate(&self) -> Result<(), PrepareError> {
        let Some(session) = &self.session else {
            return connect::migrate(&self.url, "DATABASE_URL").await;
        };
        connect::migrate(&session.url, LISTEN_DATABASE_URL).await?;
        pooler::same_database(&self.url, &session.url).await
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
        let dropped = self.levels.maintain(self.session(), now).await?;
        if dropped > 0 {
            tracing::info!(partitions = dropped, "dropped rollups older than their retention");
        }
        let kept_since = self.partitions.kept_since(now);
        self.forget_runs(kept_since).await?;
        self.forget_sessions(kept_since).await?;
        self.forget_rate_limits(kept_since).await?;
        self.forget_response_links(kept_since).await?;
        self.forget_owners(kept_since).await
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
        let shared = self.shared(rows).await?;
        // Hardly ever does a row come a second time.
        let all_new = self.insert_as(true, rows, &shared, refused).await;
        match all_new {
            Err(error) if error.is_repeated_key() => {
                self.insert_as(false, rows, &shared, refused).await
            }
            inserted => inserted,
        }
    }

    /// What stands for the texts of rows; sets that are new are written first.
    async fn shared(&self, rows: &[Row]) -> Result<Vec<Shared>, Error> {
        let sets = rows.iter().map(|row| Dimensions::from(&*row.event));
        let series = self.series.resolve(&self.write, sets).await?;
        let kinds = self.kinds.resolve(&self.write, rows.iter().map(|row| &*row.event)).await?;
        Ok(series.into_iter().zip(kinds).map(|(series, kind)| Shared { series, kind }).collect())
    }

    /// One transaction, in the belief that none of the rows is there yet or not.
    async fn insert_as(
        &self,
        all_new: bool,
        rows: &[Row],
        shared: &[Shared],
        refused: &[Refused],
    ) -> Result<Vec<Uuid>, Error> {
        let mut transaction = self.write.begin().traced("begin").await?;
        let repeats = Repeats::find(&mut transaction, rows).await?;
        let booked = bookings::book(&mut transaction, rows).await?;
        let (new, shared) = repeats.left_out(&booked, shared);
        let inserted = if new.is_empty() {
            Vec::new()
        } else {
            self.insert_rows(&mut transaction, all_new, &new, &shared).await?
        };
        quarantine::add(&mut transaction, refused).await?;
        completeness::count(&mut transaction, rows, &inserted, refused).await?;
        transaction.commit().traced("commit").await?;
        Ok(inserted)
    }

    /// Stores rows and notes for the rollups what those among them add that were
    /// not there before.
    async fn insert_rows(
        &self,
        connection: &mut Transaction,
        all_new: bool,
        rows: &[Row],
        shared: &[Shared],
    ) -> Result<Vec<Uuid>, Error> {
        let inserting = async {
            if all_new {
                insert_requests::insert_new(connection, rows, shared).await?;
                return Ok(rows.iter().map(|row| row.id).collect());
            }
            insert_requests::insert(connection, rows, shared).await
        };
        let inserted: Vec<Uuid> = inserting.await.inspect_err(|error: &Error| {
            if !error.is_repeated_key() {
                // Perhaps its partition was dropped by another process.
                self.partitions.forget();
            }
        })?;
        // An id may stand for a row at one start and be new at another, so the order
        // tells which row is meant.
        let mut left = inserted.iter().peekable();
        let new: Vec<_> = rows
            .iter()
            .zip(shared)
            .filter(|(row, _)| left.next_if_eq(&&row.id).is_some())
            .collect();
        let changes = insert_requests::roll_up(new.iter().copied());
        if !changes.is_empty() {
            rollups::add_changes(connection, &changes).await?;
        }
        chains::add_notes(connection, new.iter().map(|(row, _)| *row)).await?;
        rate_limits::add_changes(connection, new.iter().map(|(row, _)| *row)).await?;
        sessions::add_changes(connection, new).await?;
        Ok(inserted)
    }

    /// Moves what commits noted into the rollups, until little is left; gives
    /// how many changes were moved.
    pub(crate) async fn fold(&self) -> Result<usize, Error> {
        let moved = self.levels.fold(self.session()).await?;
        if moved > 0 {
            // What was taken away would be read over and over again.
            for table in [
                include_str!("store/queries/vacuum_rollup_changes.sql"),
                include_str!("store/queries/vacuum_session_changes.sql"),
                include_str!("store/queries/vacuum_rate_limit_changes.sql"),
                include_str!("store/queries/vacuum_response_notes.sql"),
            ] {
                sqlx::query(table).execute(self.session()).await?;
            }
        }
        Ok(moved)
    }

    /// How many changes wait to be moved, counted up to `most`.
    pub(crate) async fn waiting_changes(&self, most: i64) -> Result<i64, Error> {
        Ok(sqlx::query_scalar(include_str!("store/queries/count_rollup_changes.sql"))
            .bind(most)
            .fetch_one(&self.write)
            .await?)
    }

    /// Requests that were counted under "other".
    pub(crate) fn series_overflow(&self) -> u64 {
        self.series.overflow().get()
    }

    /// Open connections, and those of them that wait for work.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let pools = || self.pools().map(Pool::connections);
        (pools().map(|pool| pool.size() as usize).sum(), pools().map(PgPool::num_idle).sum())
    }

    fn pools(&self) -> impl Iterator<Item = &Pool> {
        let session = self.session.iter().map(|session| &session.pool);
        self.reads.pools().chain([&self.write]).chain(session)
    }

    /// For what a pooler in transaction mode cannot do.
    fn session(&self) -> &Pool {
        self.session.as_ref().map_or(&self.write, |session| &session.pool)
    }

    /// Whether the read replica answers queries, and how far behind it is; `None`: there
    /// is none.
    pub(crate) fn read_replica(&self) -> Option<(bool, Duration)> {
        self.reads.replica()
    }

    /// Watches the read replica; ends at once where there is none.
    pub(crate) async fn watch_read_replica(&self) {
        self.reads.watch().await;
    }

    /// The pool of the queries, once the schema is there.
    fn reader(&self) -> Result<&Pool, Error> {
        if *self.prepared.borrow() { Ok(self.reads.pool()) } else { Err(Error::NotPrepared) }
    }

    /// The same, but never the read replica: for what one may just have saved.
    fn primary_reader(&self) -> Result<&Pool, Error> {
        if *self.prepared.borrow() { Ok(self.reads.primary()) } else { Err(Error::NotPrepared) }
    }

    /// The pool for what callers write, once the schema is there.
    fn writer(&self) -> Result<&Pool, Error> {
        if *self.prepared.borrow() { Ok(&self.write) } else { Err(Error::NotPrepared) }
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        for pool in self.pools() {
            pool.connections().close().await;
        }
    }
}
