//! Analytics: receives usage events from proxies, stores them in PostgreSQL, and
//! answers questions about them by gRPC and grpc-web. The only owner of SQL.
//!
//! The way of an event: `ingest` (a stream of a proxy) → `ingest/queue` →
//! `ingest/commit` → `store` (rows) → acknowledgement, and `live` (readers are
//! told). The way of a question: `query` (arguments) → `store` (a statement) →
//! `query` (the answer in the form of the contract).

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use modash_runtime::{
    Admin, BindError, BoundedListener, Boxed, ClientTls, ConnectionCount, Description, Hold,
    ListenerTls, ServiceContext, TlsFileError, warn_if_exposed,
};
use tokio::{net::TcpListener, task::JoinError, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

mod around;
mod browser;
mod budget;
mod config;
pub mod data;
mod deadline;
mod error;
mod filter;
mod gate;
mod health;
mod ingest;
mod inspect;
mod live;
mod metrics;
mod name;
mod pricing;
mod query;
mod rollup;
mod server;
mod serving;
mod store;
mod tls;
mod trace;

pub use config::{AnalyticsConfig, AnalyticsSettings, DatabaseUrl, RollupDays, default_limits};
pub use health::check_health;
pub use inspect::{
    Inside, Inspected, Migrations, OLDEST_POSTGRES, foreign_schema_advice, inspect, pooler_advice,
};
pub use pricing::Prices;
pub use server::ServeError;
pub use store::{Error as StoreError, PrepareError, Rebuilt};

use browser::Browsers;
use budget::Budgets;
use error::LimitedLog;
use ingest::{Committer, Ingest, Reports, queue};
use live::{Cluster, Live};
use metrics::{IngestMetrics, QueryMetrics};
use query::{Callers, Queries};
use serving::Health;
use store::Store;

/// Writers that commit at the same time: one gathers while the other commits.
const WRITERS: usize = 2;

/// How often partitions are made ahead and dropped.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How often it is looked how much is to be moved into the rollups.
const FOLD_INTERVAL: Duration = Duration::from_secs(1);

/// So many changes are moved at once; fewer wait for [`FOLD_AT_LEAST`].
const MANY_CHANGES: i64 = 5_000;
const FOLD_AT_LEAST: Duration = Duration::from_secs(5);

/// Pause after a failed attempt to sum up requests of an older version.
const BACKFILL_PAUSE: Duration = Duration::from_secs(30);

/// Longest pause between attempts to reach the database at start.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Shares of the grace period, in the order in which the parts stop. The rest is
/// for the last reports of proxies and for the database's connections.
const STREAMS_SHARE: f64 = 0.4;
const WRITERS_SHARE: f64 = 0.2;
const SUBSCRIPTIONS_SHARE: f64 = 0.1;
const LISTENER_SHARE: f64 = 0.2;

/// Why analytics could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No database was given.
    #[error("DATABASE_URL is not set")]
    NoDatabaseUrl,
    /// A listener could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A file of certificates or keys is no good.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// A listener has no address.
    #[error("a listener has no address")]
    Listener(#[source] std::io::Error),
    /// A stop was asked for before the migrations were applied.
    #[error("stopped before the migrations were applied")]
    Stopped,
    /// The database was not ready in time.
    #[error("the database {database} was not ready for {} s: {}", waited.as_secs(), cause.detail())]
    NotReady {
        /// Where it is, without credentials.
        database: String,
        /// For how long it was tried.
        waited: Duration,
        /// What was wrong last.
        cause: PrepareError,
    },
    /// The migrations cannot be applied; waiting does not help.
    #[error("the schema of the database {database} cannot be brought up to date: {}", cause.detail())]
    Schema {
        /// Where it is, without credentials.
        database: String,
        /// What is wrong.
        cause: PrepareError,
    },
    /// Rollups could not be rebuilt.
    #[error("the rollups could not be rebuilt: {}", .0.detail())]
    Rebuild(#[source] StoreError),
    /// The server failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Analytics with its listeners bound.
#[derive(Debug)]
pub struct Analytics {
    config: AnalyticsConfig,
    database_url: DatabaseUrl,
    listener: BoundedListener,
    admin_listener: TcpListener,
    address: SocketAddr,
    admin_address: SocketAddr,
    /// Towards webhooks.
    webhook_tls: ClientTls,
}

impl Analytics {
    /// Binds both listeners.
    ///
    /// # Errors
    /// If a listener cannot be bound, a file of TLS is no good, or the configuration has
    /// no database.
    pub fn bind(config: AnalyticsConfig) -> Boxed<'static, Result<Self, Error>> {
        Box::pin(async move {
            let database_url = config.database_url.clone().ok_or(Error::NoDatabaseUrl)?;
            let limits = config.limits.clone();
            let tls = config.tls.clone();
            let tls = tls
                .map(|files| {
                    ListenerTls::new("the certificates of analytics", tls::LISTENER_TLS, files)
                })
                .transpose()?;
            let listener = BoundedListener::bind(
                "analytics",
                "MODASH_ANALYTICS_LISTEN",
                config.listen,
                limits,
            )
            .await?
            .with_tls(tls);
            let webhook_tls = ClientTls::new(
                "the certificate authorities of webhooks",
                tls::WEBHOOK_TLS,
                config.webhook_tls.clone(),
            )?;
            let admin_listener = modash_runtime::bind(
                "analytics admin",
                "MODASH_ANALYTICS_ADMIN_LISTEN",
                config.admin_listen,
            )
            .await?;
            let address = listener.address();
            let admin_address = admin_listener.local_addr().map_err(Error::Listener)?;
            if config.access.is_open() {
                warn_if_exposed("analytics", address);
            }
            Ok(Self {
                config,
                database_url,
                listener,
                admin_listener,
                address,
                admin_address,
                webhook_tls,
            })
        })
    }

    /// Where gRPC and grpc-web are served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/livez`, `/readyz` and `/metrics` are served.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until a stop is asked for. Calls are answered at once; until the
    /// database is ready, queries are UNAVAILABLE and events wait. Stops in the
    /// order of the data: streams, writers, subscriptions, listener, each within its
    /// part of the grace period. Readiness is held from the call on.
    ///
    /// # Errors
    /// If the database is not ready in time, or a server fails.
    pub fn run(self, context: ServiceContext) -> Boxed<'static, Result<(), Error>> {
        let hold = context.readiness.hold("database");
        Box::pin(self.serve(context, hold))
    }

    async fn serve(self, context: ServiceContext, hold: Hold) -> Result<(), Error> {
        let shutdown = context.shutdown.clone();
        let admin = Admin {
            metrics: context.metrics.clone(),
            readiness: context.readiness.clone(),
            shutdown: shutdown.clone(),
            scrapers: self.config.access.scrapers(),
        };
        let admin = spawn(admin.run(self.admin_listener));

        let store = Arc::new(Store::new(self.database_url.clone(), &self.config));
        let live = Arc::new(Live::new());
        let (queue, writers) = queue();
        let ingest_metrics = IngestMetrics::register(&context.metrics);
        context.metrics.add_process("analytics", context.telemetry.as_ref());
        let state = metrics::State {
            queue: queue.clone(),
            live: Arc::clone(&live),
            store: Arc::clone(&store),
        };
        metrics::add_state(&context.metrics, state);
        let committer =
            Committer::new(Arc::clone(&store), Arc::clone(&live), ingest_metrics.clone());
        let reports = Arc::new(Reports::default());
        let ingest = Ingest::new(
            &self.config,
            Arc::clone(&store),
            Arc::clone(&live),
            queue,
            Arc::clone(&reports),
            ingest_metrics,
            shutdown.clone(),
        );
        let budgets = Arc::new(Budgets::new(
            Arc::clone(&store),
            &context.metrics,
            self.webhook_tls,
            self.config.budget_interval,
            self.config.query_timeout,
        ));
        let queries = Queries::new(
            Arc::clone(&store),
            Arc::clone(&live),
            Arc::clone(&budgets),
            QueryMetrics::register(&context.metrics),
            Callers::new(self.config.queries_of_caller()),
            self.config.query_timeout,
        );

        let committing: Vec<_> =
            (0..WRITERS).map(|_| spawn(committer.clone().run(writers.clone()))).collect();
        let upkeep = spawn(upkeep(Arc::clone(&store), Arc::clone(&live)));
        let budgets = spawn(budgets.run());
        let reporting = spawn(Arc::clone(&reports).run(Arc::clone(&store)));
        let cluster = spawn(Cluster::new(Arc::clone(&store), Arc::clone(&live)).run());
        let stop_listening = CancellationToken::new();
        self.listener.count_refused_handshakes(&context.metrics, &metrics::REFUSED_HANDSHAKES);
        let mut serving = spawn(server::serve(
            self.listener,
            ConnectionCount::register(&context.metrics, &metrics::CONNECTIONS),
            server::Services {
                ingest: ingest.clone(),
                queries,
                health: Health { readiness: context.readiness.clone(), shutdown: shutdown.clone() },
            },
            self.config.access.clone(),
            Browsers::new(self.config.cors_origins.clone(), self.config.allowed_hosts.clone()),
            stop_listening.clone(),
        ));
        let preparing = async {
            prepare(&store, &self.database_url, self.config.database_wait).await?;
            drop(hold);
            std::future::pending::<Result<(), Error>>().await
        };
        tokio::select! {
            () = shutdown.requested() => {}
            served = &mut serving => return served_early(served),
            result = preparing => result?,
        }

        shutdown.finish_within(STREAMS_SHARE, "ingest streams", ingest.ended()).await;
        ingest.close_queue();
        let committed = async {
            for writer in committing {
                let _ = writer.await;
            }
        };
        shutdown.finish_within(WRITERS_SHARE, "ingest writers", committed).await;
        let ended = live.end_subscriptions();
        shutdown.finish_within(SUBSCRIPTIONS_SHARE, "subscriptions", ended).await;
        stop_listening.cancel();
        let served = shutdown.finish_within(LISTENER_SHARE, "analytics listener", serving).await;
        // They hold connections.
        drop((upkeep, budgets, cluster, reporting));
        shutdown.finish("reports of proxies", reports.write(&store)).await;
        shutdown.finish("database connections", store.close()).await;
        drop(admin);
        served.map_or(Ok(()), served_early)
    }
}

/// What is said of every metric of analytics, beside those of every process.
#[must_use]
pub fn metrics() -> Vec<Description> {
    metrics::descriptions()
}

/// A task that ends with whoever waits for it.
fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// The result of the server's task.
fn served_early(served: Result<Result<(), ServeError>, JoinError>) -> Result<(), Error> {
    match served {
        Ok(result) => Ok(result?),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}

/// Applies all migrations, waiting for the database as at start.
///
/// # Errors
/// If the database is not ready in time, a migration fails, or a stop is asked for.
pub fn migrate(
    config: AnalyticsConfig,
    context: ServiceContext,
) -> Boxed<'static, Result<(), Error>> {
    Box::pin(async move {
        let url = config.database_url.clone().ok_or(Error::NoDatabaseUrl)?;
        let store = Store::new(url.clone(), &config);
        tokio::select! {
            prepared = prepare(&store, &url, config.database_wait) => prepared?,
            () = context.shutdown.requested() => return Err(Error::Stopped),
        }
        store.close().await;
        Ok(())
    })
}

/// Waits for the database and brings it up to date.
async fn prepare(store: &Store, url: &DatabaseUrl, wait: Duration) -> Result<(), Error> {
    wait_for(url, wait, || store.prepare()).await
}

/// Tries until the database is there.
async fn wait_for<F>(
    url: &DatabaseUrl,
    wait: Duration,
    attempt: impl Fn() -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), PrepareError>>,
{
    let begun = Instant::now();
    let mut pause = Duration::from_millis(100);
    let log = LimitedLog::default();
    loop {
        let cause = match attempt().await {
            Ok(()) => {
                tracing::info!(database = %url, "the database is ready");
                return Ok(());
            }
            Err(cause) => cause,
        };
        let waited = begun.elapsed();
        if !cause.is_transient() {
            return Err(Error::Schema { database: url.to_string(), cause });
        }
        if waited >= wait {
            return Err(Error::NotReady { database: url.to_string(), waited, cause });
        }
        log.write(|_| {
            tracing::warn!(
                database = %url,
                error = cause.detail(),
                seconds_left = (wait - waited).as_secs(),
                "waiting for the database"
            );
        });
        tokio::time::sleep(pause.min(wait - waited)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Ends what was not heard of each second; keeps the partitions as they should
/// be.
async fn upkeep(store: Arc<Store>, live: Arc<Live>) {
    let expire = async {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            live.expire();
        }
    };
    let replica = store.watch_read_replica();
    let partitions = async {
        store.prepared().await;
        loop {
            match store.repair_rollups(Utc::now()).await {
                Ok(days) => days.iter().for_each(|day| {
                    tracing::warn!(%day, "requests were missing in the rollups, which were rebuilt");
                }),
                Err(error) => tracing::warn!(error = error.detail(), "rollups were not compared"),
            }
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            if let Err(error) = store.maintain(Utc::now()).await {
                tracing::warn!(error = error.detail(), "upkeep of partitions failed; trying again");
            }
        }
    };
    let backfill = async {
        store.prepared().await;
        while let Err(error) = store.backfill_rollups().await {
            tracing::warn!(error = error.detail(), "summing up failed; trying again");
            tokio::time::sleep(BACKFILL_PAUSE).await;
        }
    };
    tokio::join!(expire, replica, partitions, backfill, fold(&store));
}

/// Moves what commits noted into the rollups: soon if it is much, so that queries
/// have little to add up, and else seldom, so that the disk has little to write.
async fn fold(store: &Store) {
    store.prepared().await;
    let mut folded_at = Instant::now();
    let log = LimitedLog::default();
    loop {
        tokio::time::sleep(FOLD_INTERVAL).await;
        let folding = async {
            let waiting = store.waiting_changes(MANY_CHANGES).await?;
            if waiting > 0 && (waiting >= MANY_CHANGES || folded_at.elapsed() >= FOLD_AT_LEAST) {
                folded_at = Instant::now();
                while store.fold().await? as i64 >= MANY_CHANGES {}
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = folding.await {
            log.write(|held_back| {
                tracing::warn!(error = error.detail(), held_back, "folding rollups failed");
            });
        }
    }
}

/// Rebuilds the rollups of the UTC days that a range touches from their requests,
/// the newest day first. Safe while requests arrive.
///
/// # Errors
/// If the database is not ready in time, or fails.
pub async fn rebuild_rollups(
    config: AnalyticsConfig,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    progress: impl FnMut(Rebuilt) + Send,
) -> Result<(), Error> {
    let url = config.database_url.clone().ok_or(Error::NoDatabaseUrl)?;
    let store = Store::new(url.clone(), &config);
    prepare(&store, &url, config.database_wait).await?;
    let rebuilt = store.rebuild_rollups(from, to, store::Which::All, progress).await;
    store.close().await;
    rebuilt.map_err(Error::Rebuild)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_can_run_on_any_thread() {
        fn send<T: Send>(_: fn(Analytics, ServiceContext) -> T) {}
        send(Analytics::run);
        fn send_migrate<T: Send>(_: fn(AnalyticsConfig, ServiceContext) -> T) {}
        send_migrate(migrate);
    }
}
