//! A look at a database without changing it.

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection, migrate::Migrator};
use tokio::time::timeout;

use super::{Error, connect, pooler, row::from_row};
use crate::{
    config::DatabaseUrl,
    inspect::{Inside, Inspected, Migrations},
};

struct Found {
    role: String,
    now: DateTime<Utc>,
    read_only: bool,
    schema: Option<String>,
    may_create: bool,
    owns_tables: Option<bool>,
    has_migrations: bool,
    most_connections: i64,
    connections: i64,
    own_connections: i64,
}

from_row!(Found {
    role,
    now,
    read_only,
    schema,
    may_create,
    owns_tables,
    has_migrations,
    most_connections,
    connections,
    own_connections
});

struct Applied {
    version: i64,
    checksum: Vec<u8>,
    success: bool,
}

from_row!(Applied { version, checksum, success });

/// Looks at the database.
pub(crate) async fn inspect(url: &DatabaseUrl) -> Inspected {
    let options = url.options().application_name("modash doctor");
    let connecting = PgConnection::connect_with(&options);
    let connected = timeout(connect::ACQUIRE_TIMEOUT, connecting).await;
    let mut connection = match connected.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Ok(connection) => connection,
        Err(error) => return Inspected::Unreachable(Error::from(error).detail()),
    };
    let version = connection.server_version_num().unwrap_or(0);
    let looking = timeout(connect::ACQUIRE_TIMEOUT, look(&mut connection)).await;
    let inside = match looking.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Ok(mut inside) => {
            inside.pooler = pooler::is_shared(url, &mut connection).await;
            Ok(inside)
        }
        Err(error) => Err(Error::from(error).detail()),
    };
    let _ = connection.close().await;
    Inspected::Reached { version, inside: Box::new(inside) }
}

/// All in one transaction, by statements that are not kept: there may be a pooler.
async fn look(connection: &mut PgConnection) -> Result<Inside, sqlx::Error> {
    // The first statement of a connection takes longer than the clocks differ.
    let mut transaction = connection.begin().await?;
    let before = Utc::now();
    let found: Found = sqlx::query_as(include_str!("queries/inspect.sql"))
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
    let after = Utc::now();
    let migrations = if found.has_migrations {
        let applied: Result<Vec<Applied>, _> =
            sqlx::query_as(include_str!("queries/applied_migrations.sql"))
                .persistent(false)
                .fetch_all(&mut *transaction)
                .await;
        match applied {
            Ok(applied) => compare(&connect::migrator(), &applied),
            Err(error) => Migrations::Unreadable(Error::from(error).detail()),
        }
    } else {
        Migrations::None
    };
    let round_trip = after - before;
    Ok(Inside {
        role: found.role,
        schema: found.schema,
        read_only: found.read_only,
        may_create: found.may_create,
        owns_tables: found.owns_tables,
        migrations,
        most_connections: found.most_connections,
        connections: found.connections,
        own_connections: found.own_connections,
        pooler: false,
        clock_ahead: found.now - (before + round_trip / 2),
        round_trip,
    })
}

fn compare(migrator: &Migrator, applied: &[Applied]) -> Migrations {
    let known = |version| migrator.iter().find(|migration| migration.version == version);
    if let Some(failed) = applied.iter().find(|applied| !applied.success) {
        return Migrations::Unfinished(failed.version);
    }
    let is_other = |applied: &Applied| {
        known(applied.version).is_some_and(|known| known.checksum.as_ref() != applied.checksum)
    };
    if let Some(other) = applied.iter().find(|applied| is_other(applied)) {
        return Migrations::Other(other.version);
    }
    let missing: Vec<i64> = migrator
        .iter()
        .map(|migration| migration.version)
        .filter(|version| applied.iter().all(|applied| applied.version != *version))
        .collect();
    if applied.is_empty() {
        Migrations::None
    } else if !missing.is_empty() {
        Migrations::Missing(missing)
    } else if applied.iter().any(|applied| known(applied.version).is_none()) {
        Migrations::Newer
    } else {
        Migrations::Current
    }
}

#[cfg(test)]
mod tests {
    use modash_test_support::TestDatabase;

    use super::*;

    fn applied(version: i64, checksum: &[u8], success: bool) -> Applied {
        Applied { version, checksum: checksum.to_vec(), success }
    }

    #[test]
    fn migrations_that_were_applied_are_compared_with_those_of_this_program() {
        let migrator = connect::migrator();
        let first = migrator.iter().next().unwrap();
        let own = || applied(first.version, &first.checksum, true);
        assert_eq!(compare(&migrator, &[]), Migrations::None);
        assert_eq!(compare(&migrator, &[own()]), Migrations::Current);
        assert_eq!(compare(&migrator, &[own(), applied(9_999, b"new", true)]), Migrations::Newer);
        assert_eq!(compare(&migrator, &[applied(1, b"old", true)]), Migrations::Other(1));
        assert_eq!(compare(&migrator, &[applied(1, b"old", false)]), Migrations::Unfinished(1));
        let missing = compare(&migrator, &[applied(9_999, b"new", true)]);
        assert_eq!(missing, Migrations::Missing(vec![1]));
    }

    #[tokio::test]
    async fn a_database_is_looked_at_before_and_after_its_migration() {
        let database = TestDatabase::create().await;
        let url: DatabaseUrl = database.url().parse().unwrap();
        let look = async || match inspect(&url).await {
            Inspected::Reached { version, inside } => {
                assert!(version >= 150_000, "{version}");
                inside.unwrap()
            }
            Inspected::Unreachable(why) => panic!("{why}"),
        };
        let empty = look().await;
        assert_eq!((empty.migrations, empty.owns_tables), (Migrations::None, None));
        assert!(empty.may_create && !empty.read_only && !empty.pooler);
        connect::migrate(&url, "DATABASE_URL").await.unwrap();
        let migrated = look().await;
        assert_eq!((migrated.migrations, migrated.owns_tables), (Migrations::Current, Some(true)));
    }
}
