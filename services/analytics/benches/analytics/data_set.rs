//! The database server of the benchmark, and databases with so many requests.

use std::{
    fs::Permissions,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use clap::Parser;
use modash_analytics::{
    Analytics, AnalyticsConfig, AnalyticsSettings,
    data::{DataCommand, GenerateOptions, Method},
};
use modash_embedded_postgres::{Config, EmbeddedPostgres};
use modash_runtime::{Mistakes, ServiceContext};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{Result, settings::Settings};

/// A private server, durable as that of `modash`.
pub(crate) struct Server {
    postgres: EmbeddedPostgres,
    directory: PathBuf,
    _temporary: Option<TempDir>,
}

/// A database with so many requests.
pub(crate) struct DataSet {
    pub(crate) url: String,
    /// The moment after the last request.
    pub(crate) until: DateTime<Utc>,
    pub(crate) bytes_per_request: f64,
}

/// Running analytics.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    context: ServiceContext,
    task: JoinHandle<std::result::Result<(), modash_analytics::Error>>,
}

impl Server {
    pub(crate) async fn start(directory: Option<&Path>) -> Result<Self> {
        let (temporary, directory) = match directory {
            Some(directory) => (None, directory.to_owned()),
            None => {
                let temporary = tempfile::Builder::new().prefix("modash-bench-").tempdir()?;
                // The account of the database must be able to enter it.
                std::fs::set_permissions(temporary.path(), Permissions::from_mode(0o755))?;
                let directory = temporary.path().to_owned();
                (Some(temporary), directory)
            }
        };
        let postgres = EmbeddedPostgres::start(Config::new(directory.join("postgres"))).await?;
        Ok(Self { postgres, directory, _temporary: temporary })
    }

    pub(crate) fn version(&self) -> String {
        self.postgres.version().to_owned()
    }

    /// The URL of an empty database.
    pub(crate) fn fresh(&self, name: &str) -> Result<String> {
        self.postgres.drop_database(name)?;
        self.postgres.create_database(name)?;
        Ok(self.postgres.url_of(name))
    }

    /// The database with so many requests; `None` if it is not there and is not
    /// to be made.
    pub(crate) async fn data_set(&self, rows: u64, settings: &Settings) -> Result<Option<DataSet>> {
        let name = format!("rows_{rows}_days_{}", settings.days);
        // Written when the database is complete.
        let note = self.directory.join(&name);
        let url = self.postgres.url_of(&name);
        if !note.exists() {
            if !settings.generate {
                return Ok(None);
            }
            let until = generate(&self.fresh(&name)?, rows, settings.days).await?;
            std::fs::write(&note, until.to_rfc3339())?;
        }
        let until = DateTime::parse_from_rfc3339(std::fs::read_to_string(note)?.trim())?.to_utc();
        let mut connection = PgConnection::connect(&url).await?;
        let (size, count): (i64, i64) = sqlx::query_as(
            "SELECT pg_database_size(current_database()), (SELECT count(*) FROM requests)",
        )
        .fetch_one(&mut connection)
        .await?;
        let bytes_per_request = size as f64 / count.max(1) as f64;
        eprintln!("{name}: {count} requests, {size} bytes, {bytes_per_request:.1} each");
        Ok(Some(DataSet { url, until, bytes_per_request }))
    }

    pub(crate) async fn stop(self) {
        self.postgres.stop().await;
    }
}

async fn generate(url: &str, rows: u64, days: u32) -> Result<DateTime<Utc>> {
    let until = Utc::now();
    let options = GenerateOptions {
        rows,
        days,
        models: 40,
        uniform_models: 0,
        keys: 200,
        seed: 1,
        until: Some(until),
        method: Method::Bulk,
        add: false,
    };
    let context = ServiceContext::new(Duration::from_secs(10));
    Box::pin(DataCommand::Generate(options).run(config(url)?, context)).await?;
    let mut connection = PgConnection::connect(url).await?;
    // As autovacuum will have done by the time that somebody has so many.
    sqlx::query("VACUUM (ANALYZE)").execute(&mut connection).await?;
    sqlx::query("CHECKPOINT").execute(&mut connection).await?;
    Ok(until)
}

/// The settings of analytics as they are by default, apart from what the data
/// needs to stay.
fn config(url: &str) -> Result<AnalyticsConfig> {
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        analytics: AnalyticsSettings,
    }
    let arguments = [
        "bench",
        "--analytics-listen=127.0.0.1:0",
        "--analytics-admin-listen=127.0.0.1:0",
        "--analytics-retention-days=400",
        "--database-url",
        url,
    ];
    let mut mistakes = Mistakes::default();
    let config = Defaults::try_parse_from(arguments)?.analytics.check(&mut mistakes);
    config.ok_or_else(|| mistakes.to_string().into())
}

impl Running {
    /// Analytics on a database, ready.
    pub(crate) async fn start(url: &str) -> Result<Self> {
        let analytics = Analytics::bind(config(url)?).await?;
        let context = ServiceContext::new(Duration::from_secs(10));
        let address = analytics.address();
        let task = tokio::spawn(analytics.run(context.clone()));
        context.readiness.ready().await;
        Ok(Self { address, context, task })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.context.shutdown.request();
        Ok(self.task.await??)
    }
}
