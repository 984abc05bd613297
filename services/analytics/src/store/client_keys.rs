//! Small numbers of client keys. Sums of errors say which client keys failed: as a number
//! each takes one byte, where the id of its series takes eight. A number is committed
//! before a row has it, and never given to another one.

use std::collections::{BTreeSet, HashMap};

use super::{
    Error,
    pool::{Pool, Transaction},
    row::from_row,
    traced::Traced as _,
};
use crate::rollup::Rollups;

/// A client key by its series.
#[derive(Debug)]
pub(super) struct KnownKey {
    pub(super) series_id: i64,
    pub(super) client_key: String,
    /// None of its requests failed yet, as far as they are summed up.
    pub(super) number: Option<i32>,
}

from_row!(KnownKey { series_id, client_key, number });

/// Client keys among series.
pub(super) async fn find(
    connection: &mut Transaction,
    series: &[i64],
) -> Result<Vec<KnownKey>, Error> {
    Ok(sqlx::query_as(include_str!("queries/client_key_numbers.sql"))
        .bind(series)
        .fetch_all(connection)
        .traced("client_key_numbers")
        .await?)
}

/// Puts numbers in place of the ids of client keys.
pub(super) async fn number(pool: &Pool, rollups: &mut Rollups) -> Result<(), Error> {
    let ids: BTreeSet<i64> =
        rollups.values().flat_map(|measures| measures.errors.client_keys()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = ids.into_iter().collect();
    let mut known = find(&mut pool.begin().await?, &ids).await?;
    if known.iter().any(|key| key.number.is_none()) {
        let mut transaction = pool.begin().await?;
        sqlx::query(include_str!("queries/lock_client_key_numbers.sql"))
            .execute(&mut transaction)
            .await?;
        sqlx::query(include_str!("queries/number_client_keys.sql"))
            .bind(&ids)
            .execute(&mut transaction)
            .await?;
        known = find(&mut transaction, &ids).await?;
        transaction.commit().await?;
    }
    let numbers: HashMap<i64, i64> =
        known.into_iter().filter_map(|key| Some((key.series_id, i64::from(key.number?)))).collect();
    for measures in rollups.values_mut() {
        measures.errors.renumber(|id| numbers.get(&id).copied());
    }
    Ok(())
}
