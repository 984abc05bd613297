//! Makes up requests and stores them: as ingest does, or in bulk, which is many
//! times faster and leaves the same rows and rollups.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use clap::{Args, ValueEnum};
use modash_prices::PriceList;
use modash_proto::v1::UsageEvent;
use modash_runtime::Mistakes;
use tokio::task::JoinSet;

use super::{DataError, Progress, Workload, WorkloadConfig, moment, rollups};
use crate::{
    AnalyticsConfig,
    pricing::price,
    store::{self, Row, Store},
};

/// Rows that are made and sent at a time.
const CHUNK: usize = 2_000;

/// Rows of one transaction in bulk.
const BULK_ROWS: usize = 200_000;

/// From so many rows on, `auto` means bulk.
const MANY_ROWS: u64 = 200_000;

/// Connections that write at the same time in bulk.
const MOST_WRITERS: usize = 4;

/// What to make up, and how to store it.
#[derive(Debug, Clone, Args)]
pub struct GenerateOptions {
    /// How many requests
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub rows: u64,

    /// Over how many days
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,

    /// How many models
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub models: u32,

    /// So many models instead, all used equally often, each by a user of its own
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub uniform_models: u32,

    /// How many client keys
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub keys: u32,

    /// The same seed, numbers and --until give the same requests again
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Where the days end: a day (its beginning, UTC) or a moment of RFC 3339
    /// [default: now]
    #[arg(long, value_parser = moment)]
    pub until: Option<DateTime<Utc>>,

    /// How to store them
    #[arg(long, value_enum, default_value_t)]
    pub method: Method,

    /// Add to days that have requests already
    #[arg(long)]
    pub add: bool,
}

/// How made-up requests are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Method {
    /// In bulk from 200,000 rows on
    #[default]
    Auto,
    /// As ingest stores what proxies send: safe beside a running modash
    Ingest,
    /// By COPY, and rollups computed afterwards: many times faster
    Bulk,
}

impl GenerateOptions {
    /// What to make up, if it is `now`.
    #[must_use]
    pub fn workload(&self, now: DateTime<Utc>) -> WorkloadConfig {
        WorkloadConfig {
            rows: self.rows,
            days: self.days,
            models: self.models,
            uniform_models: self.uniform_models,
            keys: self.keys,
            seed: self.seed,
            until: self.until.unwrap_or(now).trunc_subsecs(0),
        }
    }

    pub(super) fn check(&self, config: &AnalyticsConfig, mistakes: &mut Mistakes) {
        let now = Utc::now();
        let workload = self.workload(now);
        mistakes.require(
            workload.until <= now + TimeDelta::hours(1),
            "--until",
            "must not be in the future",
        );
        let kept = now.date_naive() - TimeDelta::days(config.retention_days.into());
        let days = (now - workload.from()).num_days() + 1;
        mistakes.require(
            workload.from().date_naive() >= kept,
            "--days",
            format!(
                "goes back {days} days, and requests are kept for {} days; \
                 set MODASH_ANALYTICS_RETENTION_DAYS to {days} or more, also for the modash that \
                 will show them",
                config.retention_days
            ),
        );
    }

    fn in_bulk(&self) -> bool {
        match self.method {
            Method::Auto => self.rows >= MANY_ROWS,
            Method::Ingest => false,
            Method::Bulk => true,
        }
    }
}

/// The command: applies the migrations, generates, and says where it went.
pub(super) async fn run(
    store: &Arc<Store>,
    config: &AnalyticsConfig,
    options: &GenerateOptions,
) -> Result<(), DataError> {
    let url = config.database_url.clone().ok_or(crate::Error::NoDatabaseUrl)?;
    crate::wait_for(&url, config.database_wait, || store.migrate()).await?;
    store.maintain(Utc::now()).await?;
    generate(store, options).await
}

/// Makes up the requests and stores them.
///
/// # Errors
/// If the days have requests already and `add` is not set, the same requests are
/// there, or the database fails.
pub(crate) async fn generate(
    store: &Arc<Store>,
    options: &GenerateOptions,
) -> Result<(), DataError> {
    let workload = Arc::new(Workload::new(options.workload(Utc::now())));
    let WorkloadConfig { rows, until, .. } = *workload.config();
    let from = workload.config().from();
    if !options.add
        && let Some((first, last)) = store.days_with_requests(from, until).await?
    {
        return Err(DataError::Occupied { first, last });
    }
    let progress = Arc::new(Progress::new("generating", "rows", Some(rows)));
    if options.in_bulk() {
        bulk(store, &workload, &progress).await?;
        progress.finish();
        rollups::rebuild(store, from, until).await?;
    } else {
        ingest(store, &workload, &progress).await?;
        while store.fold().await? > 0 {}
        progress.finish();
    }
    Ok(())
}

/// The way of events that proxies sent.
async fn ingest(store: &Store, workload: &Workload, progress: &Progress) -> Result<(), DataError> {
    let mut requests = workload.requests();
    loop {
        let rows = chunk(&mut requests);
        if rows.is_empty() {
            return Ok(());
        }
        store.insert(&rows, &[]).await?;
        progress.add(rows.len() as u64);
    }
}

/// Each writer takes the next day, so that rows lie in the order of time.
async fn bulk(
    store: &Arc<Store>,
    workload: &Arc<Workload>,
    progress: &Arc<Progress>,
) -> Result<(), DataError> {
    let writers = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WRITERS);
    // A COPY does not see partitions that are made after it began.
    store.ensure_days(workload.config().from(), workload.config().until).await?;
    let next_day = Arc::new(AtomicU32::new(0));
    let mut tasks: JoinSet<Result<(), DataError>> = JoinSet::new();
    for _ in 0..writers {
        let (store, workload) = (Arc::clone(store), Arc::clone(workload));
        let (next_day, progress) = (Arc::clone(&next_day), Arc::clone(progress));
        tasks.spawn(async move {
            loop {
                let day = next_day.fetch_add(1, Ordering::Relaxed);
                if day >= workload.config().days {
                    return Ok(());
                }
                write_day(&store, &workload, day, &progress).await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    }
    Ok(())
}

async fn write_day(
    store: &Store,
    workload: &Workload,
    day: u32,
    progress: &Progress,
) -> Result<(), DataError> {
    let mut requests = (day * 24..(day + 1) * 24).flat_map(|hour| workload.hour(hour));
    let mut more = true;
    while more {
        let mut bulk = store.begin_bulk().await?;
        let mut written = 0;
        while more && written < BULK_ROWS {
            let rows = chunk(&mut requests);
            more = !rows.is_empty();
            store.add_bulk(&mut bulk, &rows).await.map_err(repeated)?;
            written += rows.len();
            progress.add(rows.len() as u64);
        }
        bulk.finish().await.map_err(repeated)?;
    }
    Ok(())
}

/// The next rows, in the order of their key.
fn chunk(requests: &mut impl Iterator<Item = UsageEvent>) -> Vec<Row> {
    let prices = PriceList::built_in();
    let priced = requests.take(CHUNK).map(|mut event| {
        price(&prices, &mut event, None);
        event
    });
    let mut rows: Vec<Row> = priced.filter_map(|event| Row::new(event, None).ok()).collect();
    rows.sort_unstable_by_key(|row| (row.started_at, row.id));
    rows
}

fn repeated(error: store::Error) -> DataError {
    if error.is_repeated_key() { DataError::Repeated } else { error.into() }
}
