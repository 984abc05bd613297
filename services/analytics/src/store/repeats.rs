//! Events that come again with another start. The key of a stored request is its start and
//! its id, so that each start would be another request. Ids that modash's proxies make name
//! the start: whether such an id is there is a look at one key. Other ids are booked with
//! the start that they come with first.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use chrono::{DateTime, Utc};
use modash_proto::micros_of_event_id;
use sqlx::types::Uuid;

use super::{Error, Row, insert_requests::Shared, pool::Transaction, traced::Traced as _};

/// The rows that repeat others under another start.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashSet<(DateTime<Utc>, Uuid)>);

impl Repeats {
    /// Asks nothing where all ids name their starts.
    pub(super) async fn find(connection: &mut Transaction, rows: &[Row]) -> Result<Self, Error> {
        let foreign: Vec<&Row> =
            rows.iter().filter(|row| named(row) != Some(row.started_at)).collect();
        if foreign.is_empty() {
            return Ok(Self::default());
        }
        let mut own = stored_under_their_own_start(connection, &foreign).await?;
        own.extend(rows.iter().filter(|row| named(row) == Some(row.started_at)).map(|row| row.id));
        let first = first_starts(connection, &foreign).await?;
        let repeats = foreign.iter().filter(|row| {
            own.contains(&row.id) || first.get(&row.id) != Some(&booking(row.started_at))
        });
        Ok(Self(repeats.map(|row| (row.started_at, row.id)).collect()))
    }

    /// The others, with what stands for their texts.
    pub(super) fn left_out<'a>(
        &self,
        rows: &'a [Row],
        shared: &'a [Shared],
    ) -> (Cow<'a, [Row]>, Cow<'a, [Shared]>) {
        if self.0.is_empty() {
            return (Cow::Borrowed(rows), Cow::Borrowed(shared));
        }
        let new = |(row, _): &(&Row, &Shared)| !self.0.contains(&(row.started_at, row.id));
        let (rows, shared): (Vec<Row>, Vec<Shared>) =
            rows.iter().zip(shared).filter(new).map(|(row, shared)| (row.clone(), *shared)).unzip();
        (Cow::Owned(rows), Cow::Owned(shared))
    }
}

/// The start that an id names, if it is one that names any.
fn named(row: &Row) -> Option<DateTime<Utc>> {
    let micros = micros_of_event_id(row.id.as_u128())?;
    DateTime::from_timestamp_micros(i64::try_from(micros).ok()?)
}

/// Which of these are there under the start that their id names.
async fn stored_under_their_own_start(
    connection: &mut Transaction,
    rows: &[&Row],
) -> Result<HashSet<Uuid>, Error> {
    let (starts, ids): (Vec<DateTime<Utc>>, Vec<Uuid>) =
        rows.iter().filter_map(|row| Some((named(row)?, row.id))).unzip();
    let found: Vec<Uuid> = sqlx::query_scalar(include_str!("queries/stored_requests.sql"))
        .bind(starts)
        .bind(ids)
        .fetch_all(connection)
        .traced("stored_requests")
        .await?;
    Ok(found.into_iter().collect())
}

/// The bookings of these ids: of two the first one's stays.
async fn first_starts(
    connection: &mut Transaction,
    rows: &[&Row],
) -> Result<HashMap<Uuid, Uuid>, Error> {
    let mut first = BTreeMap::new();
    for row in rows {
        first.entry(row.id).or_insert(booking(row.started_at));
    }
    let (ids, starts): (Vec<Uuid>, Vec<Uuid>) = first.into_iter().unzip();
    let booked: Vec<(Uuid, Uuid)> = sqlx::query_as(include_str!("queries/book_responses.sql"))
        .bind(ids)
        .bind(starts)
        .fetch_all(connection)
        .traced("book_responses")
        .await?;
    Ok(booked.into_iter().collect())
}

/// A start in the form of what is booked.
fn booking(start: DateTime<Utc>) -> Uuid {
    Uuid::from_u128(u128::from(start.timestamp_micros().cast_unsigned()))
}
