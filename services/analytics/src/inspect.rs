//! What is to be known of a database before it is used: for `modash doctor`.

use chrono::TimeDelta;
use modash_runtime::Boxed;

use crate::{config::DatabaseUrl, store};

/// The oldest PostgreSQL that analytics works with.
pub const OLDEST_POSTGRES: u32 = 15;

/// A database that was looked at.
#[derive(Debug)]
pub enum Inspected {
    /// It cannot be reached, or refused the connection; says why.
    Unreachable(String),
    /// It answers.
    Reached {
        /// Its version as a number: 180004 is 18.4. 0: it did not say.
        version: u32,
        /// What is inside, or why that cannot be read.
        inside: Box<Result<Inside, String>>,
    },
}

/// What is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The role that asks.
    pub role: String,
    /// The schema that tables are made in; `None`: there is none.
    pub schema: Option<String>,
    /// Nothing can be written: a replica, or set so.
    pub read_only: bool,
    /// The role may make tables.
    pub may_create: bool,
    /// The tables belong to the role. `None`: there are none.
    pub owns_tables: Option<bool>,
    /// The schema's version.
    pub migrations: Migrations,
    /// Connections that the server allows.
    pub most_connections: i64,
    /// Connections of all clients but this one.
    pub connections: i64,
    /// Connections of analytics among them.
    pub own_connections: i64,
    /// A connection pooler in transaction mode is before the server, as far as it shows.
    pub pooler: bool,
    /// By how much the server's clock is ahead of this machine's.
    pub clock_ahead: TimeDelta,
    /// How long the answer took; the clocks are compared no better than to half of it.
    pub round_trip: TimeDelta,
}

/// Migrations of the database compared with those of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Migrations {
    /// None was applied: an empty database.
    None,
    /// All were applied.
    Current,
    /// These will be applied at the next start.
    Missing(Vec<i64>),
    /// All were applied, and some of a newer version too, which does no harm.
    Newer,
    /// This one is not that of this program: the database was made by a version that
    /// cannot be upgraded.
    Other(i64),
    /// This one was begun and never finished.
    Unfinished(i64),
    /// They cannot be read; says why.
    Unreadable(String),
}

/// Looks at a database; changes nothing.
pub fn inspect(url: &DatabaseUrl) -> Boxed<'_, Inspected> {
    Box::pin(store::inspect(url))
}

/// What to do about a pooler in transaction mode that a setting leads to.
#[must_use]
pub fn pooler_advice(setting: &str) -> String {
    store::pooler_advice(setting)
}

/// What to do about a schema that cannot be upgraded.
#[must_use]
pub fn foreign_schema_advice() -> String {
    store::PrepareError::Foreign.to_string()
}
