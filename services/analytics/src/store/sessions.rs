//! Sums by session: noted when requests are written, folded in the background, and read
//! as a list.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use modash_proto::v1::{CostSource, Outcome, UsageEvent};
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow as _, Row as _};

use super::{
    Error, Row, Selection, Snapshot, Store,
    columns::{cost, cost_source, count, micros},
    copy::CopyRows,
    insert_requests::Shared,
    pool::{Pool, Transaction},
    recent_requests::event,
    row::from_row,
    traced::Traced as _,
};

/// Columns of a change.
const COLUMNS: i16 = 18;

/// Changes that are moved in one transaction.
const CHANGES: i64 = 100_000;

/// Stands for all series.
const ALL_SERIES: i64 = 0;

/// Outcomes that are no failures.
pub(super) const NOT_FAILED: [i16; 2] = [Outcome::Ok as i16, Outcome::ClientClosed as i16];

/// What requests of a session in one series add up to; times in microseconds.
#[derive(Debug, Clone)]
struct Change<'a> {
    session: &'a str,
    first_started_at: DateTime<Utc>,
    last_started_at: DateTime<Utc>,
    last_ended_at: DateTime<Utc>,
    sums: [i64; 12],
}

/// A session: what its requests add up to, and the models that it used, most used first.
#[derive(Debug, Clone)]
pub(crate) struct SessionSums {
    pub(crate) session: String,
    pub(crate) first_started_at: DateTime<Utc>,
    pub(crate) last_started_at: DateTime<Utc>,
    pub(crate) last_ended_at: DateTime<Utc>,
    pub(crate) requests: i64,
    pub(crate) failed_requests: i64,
    pub(crate) prompt_tokens: i64,
    pub(crate) cached_prompt_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) total_tokens: i64,
    pub(crate) cost_nano_usd: i64,
    pub(crate) cache_saving_nano_usd: i64,
    pub(crate) known_costs: i64,
    pub(crate) unknown_costs: i64,
    pub(crate) estimated_costs: i64,
    pub(crate) duration_us: i64,
    pub(crate) models: Option<Vec<String>>,
}

from_row!(SessionSums {
    session,
    first_started_at,
    last_started_at,
    last_ended_at,
    requests,
    failed_requests,
    prompt_tokens,
    cached_prompt_tokens,
    completion_tokens,
    total_tokens,
    cost_nano_usd,
    cache_saving_nano_usd,
    known_costs,
    unknown_costs,
    estimated_costs,
    duration_us,
    models
});

/// Sessions that are read and sorted rather than looked for along the index of an order,
/// which may have many of other ranges before them.
const FEW: i64 = 5_000;

/// Which part of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionPage {
    /// Number of the order in the contract.
    pub(crate) order: i16,
    pub(crate) limit: i64,
    pub(crate) offset: i64,
}

/// The first 64 bits of SHA-256. Part of the storage format.
pub(super) fn id_of(session: &str) -> i64 {
    let digest = Sha256::digest(session.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

impl<'a> Change<'a> {
    fn of(row: &'a Row, session: &'a str) -> Self {
        let event = &*row.event;
        let duration = micros(event.duration.as_ref()).unwrap_or(0);
        Self {
            session,
            first_started_at: row.started_at,
            last_started_at: row.started_at,
            last_ended_at: row.started_at + TimeDelta::microseconds(duration),
            sums: sums(event, duration),
        }
    }

    fn add(&mut self, other: &Self) {
        self.first_started_at = self.first_started_at.min(other.first_started_at);
        self.last_started_at = self.last_started_at.max(other.last_started_at);
        self.last_ended_at = self.last_ended_at.max(other.last_ended_at);
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// In the order of the columns.
fn sums(event: &UsageEvent, duration_us: i64) -> [i64; 12] {
    let tokens = |tokens| count(tokens).unwrap_or(0);
    let from = |source: CostSource| i64::from(cost_source(event) == source as i16);
    let nano_usd = cost(event).and_then(|cost| count(cost.nano_usd));
    [
        1,
        i64::from(!NOT_FAILED.iter().any(|outcome| i32::from(*outcome) == event.outcome)),
        tokens(event.prompt_tokens),
        tokens(event.cached_prompt_tokens),
        tokens(event.completion_tokens),
        tokens(event.total_tokens),
        nano_usd.unwrap_or(0),
        cost(event).and_then(|cost| cost.cache_saving_nano_usd).unwrap_or(0),
        i64::from(nano_usd.is_some()),
        from(CostSource::Unknown),
        from(CostSource::Estimated),
        duration_us,
    ]
}

/// Notes what rows that were not there before add to their sessions.
pub(super) async fn add_changes<'a>(
    connection: &mut Transaction,
    rows: impl IntoIterator<Item = (&'a Row, &'a Shared)>,
) -> Result<(), Error> {
    let mut changes: BTreeMap<(&str, i64), Change<'_>> = BTreeMap::new();
    for (row, shared) in rows {
        let Some(session) = row.event.session.as_deref() else { continue };
        let change = Change::of(row, session);
        for series in [ALL_SERIES, shared.series.full] {
            let sum = changes.entry((session, series));
            sum.and_modify(|sum| sum.add(&change)).or_insert_with(|| change.clone());
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let mut copy = CopyRows::new(COLUMNS, changes.len());
    for ((session, series_id), change) in &changes {
        let row = copy
            .row()
            .bigint(Some(id_of(session)))
            .bigint(Some(*series_id))
            .moment(Some(change.first_started_at))
            .moment(Some(change.last_started_at))
            .moment(Some(change.last_ended_at));
        change.sums.iter().fold(row, |row, sum| row.bigint(Some(*sum))).text(Some(change.session));
    }
    copy.send(connection, include_str!("queries/copy_session_changes.sql"))
        .traced("copy_session_changes")
        .await
}

/// Moves changes into the sessions, at most [`CHANGES`]; gives how many. Only for the one
/// process that holds the lock of the rollups.
pub(super) async fn fold(connection: &mut Transaction) -> Result<i64, Error> {
    Ok(sqlx::query_scalar(include_str!("queries/fold_sessions.sql"))
        .bind(CHANGES)
        .fetch_one(connection)
        .await?)
}

/// Sums up the sessions anew, from the requests that are there; what is committed
/// meanwhile is added later.
pub(super) async fn sum_up(pool: &Pool) -> Result<(), Error> {
    let mut outer = pool.begin().await?;
    // A fold in between would be deleted; the snapshot is that of the next transaction.
    super::rollups::lock(&mut outer).await?;
    let mut inner = pool.begin_with(include_str!("queries/begin_summing_up.sql")).await?;
    sqlx::raw_sql(include_str!("queries/delete_sessions.sql")).execute(&mut inner).await?;
    sqlx::query(include_str!("queries/sum_up_sessions.sql"))
        .bind(NOT_FAILED)
        .bind(CostSource::Unknown as i16)
        .bind(CostSource::Estimated as i16)
        .execute(&mut inner)
        .await?;
    inner.commit().await?;
    outer.commit().await?;
    Ok(())
}

impl Store {
    /// Forgets sessions that ended before a moment.
    pub(super) async fn forget_sessions(&self, before: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query(include_str!("queries/forget_sessions.sql"))
            .bind(before)
            .execute(&self.write)
            .await?;
        Ok(())
    }
}

impl Snapshot {
    /// The sessions that a selection is about, as far as series and sessions tell, and how
    /// many there are.
    pub(crate) async fn sessions(
        &mut self,
        selection: &Selection,
        page: SessionPage,
    ) -> Result<(Vec<SessionSums>, i64), Error> {
        match (&selection.series, &selection.sessions) {
            (None, None) => self.largest_sessions(selection, page).await,
            _ => self.sessions_of_series(selection, page).await,
        }
    }

    /// Those of all series: each has one row, and each order an index.
    async fn largest_sessions(
        &mut self,
        selection: &Selection,
        page: SessionPage,
    ) -> Result<(Vec<SessionSums>, i64), Error> {
        let total: i64 = sqlx::query_scalar(include_str!("queries/count_sessions.sql"))
            .bind(selection.start)
            .bind(selection.end)
            .fetch_one(&mut self.transaction)
            .traced("count_sessions")
            .await?;
        let order = page.order.max(1);
        let rows = sqlx::query_as(include_str!("queries/sessions_in_order.sql"))
            .bind(selection.start)
            .bind(selection.end)
            .bind(if total <= FEW { -order } else { order })
            .bind(page.limit)
            .bind(page.offset)
            .fetch_all(&mut self.transaction)
            .traced("sessions_in_order")
            .await?;
        Ok((rows, total))
    }

    async fn sessions_of_series(
        &mut self,
        selection: &Selection,
        page: SessionPage,
    ) -> Result<(Vec<SessionSums>, i64), Error> {
        let all = vec![ALL_SERIES];
        let rows = sqlx::query(include_str!("queries/sessions_of_series.sql"))
            .bind(selection.start)
            .bind(selection.end)
            .bind(selection.series.as_ref().unwrap_or(&all))
            .bind(selection.sessions.as_deref())
            .bind(page.order)
            .bind(page.limit)
            .bind(page.offset)
            .fetch_all(&mut self.transaction)
            .traced("sessions_of_series")
            .await?;
        let total = rows.first().map(|row| row.try_get("sessions")).transpose()?;
        let rows = rows.iter().map(SessionSums::from_row).collect::<Result<_, _>>()?;
        Ok((rows, total.unwrap_or(0)))
    }

    /// The requests of a selection, oldest first.
    pub(crate) async fn session_requests(
        &mut self,
        selection: &Selection,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<UsageEvent>, Error> {
        self.plan_for_requests().await?;
        let rows = selection
            .clone()
            .into_query(include_str!("queries/requests_in_order.sql"))
            .persistent(false)
            .bind(limit)
            .bind(offset)
            .fetch_all(&mut self.transaction)
            .traced("session_requests")
            .await?;
        Ok(rows.iter().map(event).collect::<Result<_, _>>()?)
    }
}
