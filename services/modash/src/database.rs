//! The database: the one of `DATABASE_URL`, or a private cluster.

use std::{fmt, future::pending};

use modash_embedded_postgres::{Config as PostgresConfig, EmbeddedPostgres};

use crate::{Config, Error};

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
    pub(crate) async fn start(config: &mut Config) -> Result<Self, Error> {
        if let Some(url) = &config.analytics.database_url {
            return Ok(Self::External(url.to_string()));
        }
        let directory = config.data_directory.join("postgres");
        let postgres = EmbeddedPostgres::start(PostgresConfig {
            binaries: config.postgres_binaries.clone(),
            ..PostgresConfig::new(&directory)
        })
        .await?;
        let url = postgres.url().parse().map_err(|error: &str| Error::Address(error.to_owned()))?;
        config.analytics.database_url = Some(url);
        Ok(Self::Private(Box::new(postgres), directory.display().to_string()))
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
