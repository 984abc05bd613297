//! The database: the one of `DATABASE_URL`, or a private cluster.

use std::{fmt, future::pending};

use modash_analytics::AnalyticsConfig;
use modash_embedded_postgres::{
    Config as PostgresConfig, EmbeddedPostgres, Error as PostgresError, url_of_running,
};

use crate::{Error, settings::DatabaseConfig};

/// Where the rows go.
pub(crate) enum Database {
    /// A server that somebody else runs.
    External(String),
    /// A private cluster.
    Private(Box<EmbeddedPostgres>, String),
}

impl Database {
    /// Starts a private cluster unless a database is configured, and points
    /// analytics at it.
    pub(crate) async fn start(
        database: &DatabaseConfig,
        analytics: &mut AnalyticsConfig,
    ) -> Result<Self, Error> {
        if let Some(url) = &analytics.database_url {
            return Ok(Self::External(url.to_string()));
        }
        let directory = database.directory();
        let postgres = EmbeddedPostgres::start(PostgresConfig {
            binaries: database.postgres_binaries.clone(),
            ..PostgresConfig::new(&directory)
        })
        .await?;
        analytics.database_url = Some(parsed(&postgres.url())?);
        Ok(Self::Private(Box::new(postgres), directory.display().to_string()))
    }

    /// The same for a command, which may also use the private cluster of a modash
    /// that runs.
    pub(crate) async fn start_or_join(
        database: &DatabaseConfig,
        analytics: &mut AnalyticsConfig,
    ) -> Result<Self, Error> {
        match Self::start(database, analytics).await {
            Err(Error::Postgres(PostgresError::InUse { path, process })) => {
                let url = url_of_running(&path)?;
                analytics.database_url = Some(parsed(&url)?);
                tracing::debug!(process, "using the database of the modash that runs");
                Ok(Self::External(url))
            }
            result => result,
        }
    }

    /// Ends only if a private cluster ends on its own.
    pub(crate) async fn ended(&self) -> Error {
        match self {
            Self::External(_) => pending().await,
            Self::Private(postgres, _) => {
                postgres.ended().await;
                Error::PostgresEnded(postgres.log().to_owned())
            }
        }
    }

    /// Stops a private cluster.
    pub(crate) async fn stop(self) {
        if let Self::Private(postgres, _) = self {
            postgres.stop().await;
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External(url) => f.write_str(url),
            Self::Private(postgres, directory) => {
                write!(f, "private PostgreSQL {} in {directory}", postgres.version())
            }
        }
    }
}

fn parsed(url: &str) -> Result<modash_analytics::DatabaseUrl, Error> {
    url.parse().map_err(|error: &str| Error::Address(error.to_owned()))
}
