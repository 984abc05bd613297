//! Connections: one pool for writing, one for reading, so that neither starves
//! the other; migrations; and the wait for a database that is not there yet.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Error, pool::Pool, pooler};
use crate::{
    OLDEST_POSTGRES,
    config::{DatabaseUrl, LISTEN_DATABASE_URL},
};

/// How long to wait for a free connection.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The same for a command: nobody waits for its answer, and hours of its work may be
/// behind it when the machine is busy.
const COMMAND_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a released connection may take to answer that it is idle. Otherwise it
/// is closed, which ends a statement that still runs.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(250);

/// The same behind a pooler, which may have no connection for the question at once.
const POOLED_RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections of a command: as many writers as there may be, each with one for
/// its series.
const COMMAND_CONNECTIONS: u32 = 8;

/// What connections lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// PostgreSQL itself, or a pooler in session mode: settings stay.
    Direct,
    /// Perhaps a pooler in transaction mode: nothing stays.
    Pooled,
}

/// How long one statement of ingest may take.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The first migration, which never changes from the first release on.
const FIRST: i64 = 1;

/// Why the database is not ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It cannot be reached, or turned the connection down.
    #[error(transparent)]
    Connect(Error),
    /// There is no such database, and the role may not make it.
    #[error(
        "there is no database {database}, and {role} may not create it; as an administrator: \
         CREATE DATABASE {database} OWNER {role}"
    )]
    NoDatabase {
        /// Its name.
        database: String,
        /// Who asked for it.
        role: String,
    },
    /// The role may not make tables in the database.
    #[error(
        "{role} may not create tables in the database {database}; as an administrator: ALTER \
         DATABASE {database} OWNER TO {role}"
    )]
    NoRights {
        /// Its name.
        database: String,
        /// Who wanted to.
        role: String,
    },
    /// A migration failed.
    #[error("migration {version} failed")]
    Migration {
        /// Its number.
        version: i64,
        /// Why.
        source: Error,
    },
    /// The schema is that of a version before the first release, or was changed by hand.
    #[error(
        "it was made by a version before the first release, which cannot be upgraded; export \
         what you need with that version (`modash data export`), then start this one with an \
         empty database, or with another MODASH_DATA_DIRECTORY"
    )]
    Foreign,
    /// The server is older than modash works with.
    #[error(
        "it is PostgreSQL {major}, and modash needs {OLDEST_POSTGRES} or later: upgrade the server \
         (pg_upgrade), or set DATABASE_URL to another one"
    )]
    TooOld {
        /// Its major version.
        major: u32,
    },
    /// Settings, locks and notices would be lost without a word.
    #[error("{}", pooler_advice(.setting))]
    Pooler {
        /// The setting that leads there.
        setting: &'static str,
    },
    /// The way past the pooler leads elsewhere.
    #[error(
        "DATABASE_URL and {LISTEN_DATABASE_URL} lead to different databases or servers: both \
         must lead to the same database of the primary, the one through the pooler, the other past it"
    )]
    OtherDatabase,
    /// The migrations that were applied are not those of this binary.
    #[error("the migrations do not fit the database")]
    Migrations(#[source] MigrateError),
}

impl PrepareError {
    /// What happened, for the log.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Connect(error) => error.detail(),
            Self::Migration { source, .. } => format!("{self}: {}", source.detail()),
            Self::NoDatabase { .. }
            | Self::NoRights { .. }
            | Self::Foreign
            | Self::Pooler { .. }
            | Self::OtherDatabase
            | Self::TooOld { .. } => self.to_string(),
            Self::Migrations(error) => format!("{self}: {error}"),
        }
    }

    /// Whether the same again may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            // An administrator may be about to make it; a pooler may follow a failover late.
            Self::Connect(_) | Self::NoDatabase { .. } | Self::OtherDatabase => true,
            Self::Migration { source, .. } => {
                matches!(source, Error::Unreachable(_) | Error::Conflict(_))
            }
            Self::NoRights { .. }
            | Self::Foreign
            | Self::TooOld { .. }
            | Self::Pooler { .. }
            | Self::Migrations(_) => false,
        }
    }
}

/// What to do about a pooler in transaction mode that a setting leads to.
pub(crate) fn pooler_advice(setting: &str) -> String {
    if setting == LISTEN_DATABASE_URL {
        return format!(
            "{LISTEN_DATABASE_URL} leads to a connection pooler in transaction mode; it must lead \
             to PostgreSQL itself"
        );
    }
    format!(
        "{setting} leads to a connection pooler in transaction mode: set {LISTEN_DATABASE_URL} \
         to a URL of PostgreSQL itself as well (docs/storage.md#connection-poolers)"
    )
}

impl From<MigrateError> for PrepareError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => Self::Connect(error.into()),
            MigrateError::ExecuteMigration(error, version) => {
                Self::Migration { version, source: error.into() }
            }
            MigrateError::VersionMismatch(FIRST) => Self::Foreign,
            error => Self::Migrations(error),
        }
    }
}

/// Those of the top-level folder `migrations/`: number, name and statements.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "schema", include_str!("../../../../migrations/0001_schema.sql"))];

/// The migrations of the top-level folder `migrations/`.
pub(super) fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.into());
    // A newer binary may have been here; its migrations do not hurt this one
    // (migrations/README.md).
    migrator.set_ignore_missing(true);
    migrator
}

/// Connects and applies the migrations, one process at a time. `setting` has the URL.
pub(super) async fn migrate(url: &DatabaseUrl, setting: &'static str) -> Result<(), PrepareError> {
    let migrator = migrator();
    let options = url.options().application_name("modash-analytics migrate");
    let mut connection = match connect(&options).await {
        Err(error) if code(&error).as_deref() == Some(NO_SUCH_DATABASE) => {
            create_database(&options).await?;
            connect(&options).await
        }
        connected => connected,
    }
    .map_err(|error| PrepareError::Connect(error.into()))?;
    let version = connection.server_version_num().unwrap_or(0);
    if (1..OLDEST_POSTGRES * 10_000).contains(&version) {
        return Err(PrepareError::TooOld { major: version / 10_000 });
    }
    // Its lock would stay on a connection that others get.
    if pooler::is_shared(url, &mut connection).await {
        return Err(PrepareError::Pooler { setting });
    }
    sqlx::query(include_str!("queries/configure_migration.sql"))
        .execute(&mut connection)
        .await
        .map_err(|error| PrepareError::Connect(error.into()))?;
    // `run` is the same, but its future is Send for one lifetime only.
    let result = migrator.run_direct(None, &mut connection, false).await;
    // Its lock goes with the connection, whether or not it closes nicely.
    let _ = connection.close().await;
    result.map_err(|error| match &error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)
            if code(cause).as_deref() == Some(NO_RIGHTS) =>
        {
            let (database, role) = names(&options);
            PrepareError::NoRights { database, role }
        }
        _ => error.into(),
    })
}

/// Codes of PostgreSQL's appendix A: invalid_catalog_name, duplicate_database,
/// insufficient_privilege.
const NO_SUCH_DATABASE: &str = "3D000";
const DATABASE_IS_THERE: &str = "42P04";
const NO_RIGHTS: &str = "42501";

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}

pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let connecting = PgConnection::connect_with(options);
    tokio::time::timeout(ACQUIRE_TIMEOUT, connecting)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Names of the database, which is the role's by default, and of the role.
fn names(options: &PgConnectOptions) -> (String, String) {
    let role = options.get_username();
    (options.get_database().unwrap_or(role).to_owned(), role.to_owned())
}

/// Makes the database, if the role may.
async fn create_database(options: &PgConnectOptions) -> Result<(), PrepareError> {
    let (database, role) = names(options);
    let create = async {
        let mut connection = connect(&options.clone().database("postgres")).await?;
        let create = format!("CREATE DATABASE \"{}\"", database.replace('"', "\"\""));
        // The name is quoted above; a statement of this kind takes no parameters.
        let created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await;
        let _ = connection.close().await;
        created
    };
    match create.await {
        Ok(_) => tracing::info!(database, "the database was created"),
        // By another process, a moment ago.
        Err(error) if code(&error).as_deref() == Some(DATABASE_IS_THERE) => {}
        Err(error) => {
            tracing::debug!(%error, "the database could not be created");
            return Err(PrepareError::NoDatabase { database, role });
        }
    }
    Ok(())
}

/// The pool of ingest. Connects when first used.
pub(super) fn write_pool(url: &DatabaseUrl, reach: Reach, connections: u32) -> Pool {
    pool(url.options(), reach, "modash-analytics ingest", WRITE_TIMEOUT, Access::Write, |pool| {
        pool.max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT)
    })
}

/// The pool of the queries: no statement of theirs changes anything or runs
/// longer than `timeout`.
pub(super) fn read_pool(
    url: &DatabaseUrl,
    reach: Reach,
    connections: u32,
    timeout: Duration,
) -> Pool {
    pool(url.options(), reach, "modash-analytics queries", timeout, Access::Read, |pool| {
        pool.max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT)
    })
}

/// The pool of commands: several write at the same time, and a statement may
/// take as long as it does.
pub(super) fn command_pool(url: &DatabaseUrl, reach: Reach) -> Pool {
    // A slow statement is no news to whoever waits for it.
    let options = url.options().disable_statement_logging();
    pool(options, reach, "modash-analytics data", Duration::ZERO, Access::Write, |pool| {
        pool.max_connections(COMMAND_CONNECTIONS).acquire_timeout(COMMAND_ACQUIRE_TIMEOUT)
    })
}

/// What the statements of a pool may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn pool(
    options: PgConnectOptions,
    reach: Reach,
    name: &'static str,
    statement_timeout: Duration,
    access: Access,
    bounds: impl FnOnce(PgPoolOptions) -> PgPoolOptions,
) -> Pool {
    let options = options.application_name(name);
    let timeout = statement_timeout.as_millis().to_string();
    let bounds = bounds(PgPoolOptions::new());
    if reach == Reach::Pooled {
        let mut settings =
            include_str!("queries/configure_transaction.sql").replace("{timeout}", &timeout);
        if access == Access::Read {
            settings = format!("{settings};\n{}", include_str!("queries/read_only.sql"));
        }
        let connections = bounds
            .after_release(|connection, _| {
                Box::pin(async move { Ok(is_idle(connection, POOLED_RELEASE_TIMEOUT).await) })
            })
            .connect_lazy_with(options);
        return Pool::pooled(connections, settings);
    }
    let read_only = if access == Access::Read { "on" } else { "off" };
    let connections = bounds
        .after_connect(move |connection, _| {
            let timeout = timeout.clone();
            Box::pin(async move {
                sqlx::query(include_str!("queries/configure_connection.sql"))
                    .bind(timeout)
                    .bind(read_only)
                    .execute(&mut *connection)
                    .await?;
                watch_the_client(connection).await
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move { Ok(is_idle(connection, RELEASE_TIMEOUT).await) })
        })
        .connect_lazy_with(options);
    Pool::direct(connections)
}

/// Makes PostgreSQL cancel a statement when its connection is closed.
async fn watch_the_client(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let watching = include_str!("queries/watch_the_client.sql");
    match sqlx::query(watching).execute(connection).await {
        // Not supported by servers on Windows: the statement timeout applies there.
        Err(sqlx::Error::Database(error)) => {
            tracing::debug!(
                error = error.message(),
                "statements continue after their connection is closed"
            );
            Ok(())
        }
        result => result.map(|_| ()),
    }
}

/// Whether a released connection runs no statement and has no open transaction.
/// A future that is dropped before it completes (cancelled call, deadline) may
/// leave either behind: `begin` is not cancel safe, for example.
async fn is_idle(connection: &mut PgConnection, limit: Duration) -> bool {
    let idle = sqlx::raw_sql(include_str!("queries/is_idle.sql")).fetch_one(connection);
    let answer = tokio::time::timeout(limit, idle).await;
    matches!(answer, Ok(Ok(row)) if row.try_get(0).unwrap_or(false))
}
