//! Finds out whether a URL leads to a connection pooler in transaction mode, which loses
//! what is left on a connection and tells nobody.

use std::{collections::HashSet, time::Duration};

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::timeout;

use super::{
    PrepareError,
    connect::{self, connect},
};
use crate::config::DatabaseUrl;

/// How often each of two connections is asked: a busy pooler may happen to serve each by
/// processes of its own.
const ATTEMPTS: u32 = 8;

/// How long the comparison may take. A pooler in session mode with one connection never
/// answers the second client.
const LIMIT: Duration = Duration::from_secs(2);

/// A process of the server, and what tells its database from others.
type Process = (i32, String);

async fn process(connection: &mut PgConnection) -> Result<Process, sqlx::Error> {
    let row = sqlx::raw_sql(include_str!("queries/server_process.sql")).fetch_one(connection);
    let row = row.await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Whether a process of the server serves both this connection and another one while both
/// are open: then a pooler lends it for no longer than a transaction.
pub(super) async fn is_shared(url: &DatabaseUrl, connection: &mut PgConnection) -> bool {
    let comparing = async {
        let mut other = connect(&url.options()).await?;
        let (mut ours, mut theirs) = (HashSet::new(), HashSet::new());
        for _ in 0..ATTEMPTS {
            ours.insert(process(connection).await?.0);
            theirs.insert(process(&mut other).await?.0);
        }
        let _ = other.close().await;
        Ok::<_, sqlx::Error>(!ours.is_disjoint(&theirs))
    };
    // Where a second connection is refused there is nothing to compare; whatever is wrong
    // with the database shows elsewhere.
    matches!(timeout(LIMIT, comparing).await, Ok(Ok(true)))
}

/// Refuses two URLs that lead to different databases: notices of one are not heard in the
/// other.
pub(super) async fn same_database(
    pooled: &DatabaseUrl,
    direct: &DatabaseUrl,
) -> Result<(), PrepareError> {
    let database = async |url: &DatabaseUrl| {
        let mut connection = connect(&url.options()).await?;
        let asked = timeout(connect::ACQUIRE_TIMEOUT, process(&mut connection)).await;
        let (_, database) = asked.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        let _ = connection.close().await;
        Ok(database)
    };
    let (pooled, direct) = tokio::try_join!(database(pooled), database(direct))
        .map_err(|error: sqlx::Error| PrepareError::Connect(error.into()))?;
    if pooled == direct { Ok(()) } else { Err(PrepareError::OtherDatabase) }
}
