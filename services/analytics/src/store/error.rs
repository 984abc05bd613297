//! What the database's errors mean to those who asked: try again, give up, or
//! look for the row that cannot be stored.

use std::borrow::Cow;

use crate::rollup::PackedError;

/// Prepared statements get lost behind a pooler in transaction mode only.
const POOLER_ADVICE: &str = "if a connection pooler in transaction mode is before PostgreSQL, set \
                             MODASH_ANALYTICS_LISTEN_DATABASE_URL (docs/storage.md#connection-poolers)";

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database was not reached since the start, or is being migrated.
    #[error("the database is not ready yet")]
    NotPrepared,
    /// No connection, or none that takes requests.
    #[error("the database is not reachable")]
    Unreachable(#[source] sqlx::Error),
    /// The statement took too long and was cancelled.
    #[error("the database took too long")]
    Timeout,
    /// The answer would take more rows than one may.
    #[error("the query reads too many rows")]
    TooManyRows,
    /// Another transaction was in the way; the same again may succeed.
    #[error("the database was busy with a conflicting change")]
    Conflict(#[source] sqlx::Error),
    /// A value among those that were sent cannot be stored.
    #[error("the database refused a value")]
    Value(#[source] sqlx::Error),
    /// Rollups cannot be read.
    #[error(transparent)]
    Packed(#[from] PackedError),
    /// Anything else: a bug, or a schema that does not fit.
    #[error("the database failed")]
    Other(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(error) => error.code().map(Cow::into_owned),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => return Self::Unreachable(error),
            _ => None,
        };
        // Classes and codes of PostgreSQL's appendix A.
        match code.as_deref().unwrap_or_default() {
            // query_canceled, here by statement_timeout
            "57014" => Self::Timeout,
            // serialization_failure, deadlock_detected, lock_not_available
            "40001" | "40P01" | "55P03" => Self::Conflict(error),
            // read_only_sql_transaction: a primary that became a standby;
            // invalid_catalog_name: the database does not exist (yet)
            // invalid_sql_statement_name, duplicate_prepared_statement: see `detail`
            "25006" | "3D000" | "26000" | "42P05" => Self::Unreachable(error),
            code => match code.get(..2).unwrap_or_default() {
                // connection exception, invalid authorization, insufficient
                // resources, operator intervention
                "08" | "28" | "53" | "57" => Self::Unreachable(error),
                // cardinality violation, data exception, integrity constraint
                // violation, program limit exceeded
                "21" | "22" | "23" | "54" => Self::Value(error),
                _ => Self::Other(error),
            },
        }
    }
}

impl Error {
    /// Whether a row was there already.
    pub(crate) fn is_repeated_key(&self) -> bool {
        matches!(self, Self::Value(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// What happened, for the log: never for a client.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::NotPrepared | Self::Timeout | Self::TooManyRows | Self::Packed(_) => {
                self.to_string()
            }
            Self::Unreachable(cause)
            | Self::Conflict(cause)
            | Self::Value(cause)
            | Self::Other(cause) => match cause {
                // Its own text adds a line number of PostgreSQL's source.
                sqlx::Error::Database(error) => {
                    let message = error.message();
                    match error.code().as_deref() {
                        // The statement was prepared on a connection that another client has now.
                        Some("26000" | "42P05") => {
                            format!("{self}: {message}; {POOLER_ADVICE}")
                        }
                        _ => format!("{self}: {message}"),
                    }
                }
                cause => format!("{self}: {cause}"),
            },
        }
    }
}
