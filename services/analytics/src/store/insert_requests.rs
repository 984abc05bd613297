//! Writes finished requests, many at a time; a request that is there already is
//! left as it is.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use modash_proto::{micros_from_timestamp, v1::UsageEvent};
use sqlx::types::Uuid;

use super::{
    Error, Run,
    columns::{
        self, COLUMNS, code, cost, cost_source, count, encode, micros, number, pack_histogram,
    },
    copy::CopyRows,
    dimensions::{CLIENT_KEY, Dimensions, ERRORS, NarrowIds},
    pool::Transaction,
    rollups::BothSets,
    series::SeriesIds,
    sessions::NOT_FAILED,
    traced::Traced as _,
};
use crate::rollup::{Failure, Key, Rollups, Sample, add_by_minute};

/// A request that can be stored, as far as its fields tell.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The life of the proxy that sent it; `None`: none did.
    pub(crate) run: Option<Arc<Run>>,
    /// The checked event; rows are sorted and moved about, which a pointer makes
    /// cheap.
    pub(crate) event: Box<UsageEvent>,
    /// Its id.
    pub(crate) id: Uuid,
    /// Its start.
    pub(crate) started_at: DateTime<Utc>,
}

impl Row {
    /// Checks an event, after its texts were made storable, as older proxies do not; it
    /// comes back with what is wrong with it.
    #[allow(clippy::result_large_err, reason = "the event is handed back, not lost")]
    pub(crate) fn new(
        mut event: UsageEvent,
        run: Option<&Arc<Run>>,
    ) -> Result<Self, (UsageEvent, String)> {
        event.clean();
        if let Err(error) = event.check() {
            return Err((event, error.to_string()));
        }
        let started_at = event
            .started_at
            .as_ref()
            .and_then(micros_from_timestamp)
            .and_then(DateTime::from_timestamp_micros);
        match (Uuid::try_parse(&event.event_id), started_at) {
            (Ok(id), Some(started_at)) => {
                Ok(Self { run: run.cloned(), event: Box::new(event), id, started_at })
            }
            _ => Err((event, "event_id or started_at cannot be read".to_owned())),
        }
    }
}

/// The numbers that stand for what a row shares with others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    pub(super) series: SeriesIds,
    /// `None`: the row has the texts itself.
    pub(super) kind: Option<i32>,
}

/// Inserts rows none of which is there yet, which costs half of [`insert`].
///
/// # Errors
/// If one is there, and whatever the database says; the transaction is lost then.
pub(super) async fn insert_new(
    connection: &mut Transaction,
    rows: &[Row],
    shared: &[Shared],
) -> Result<(), Error> {
    let mut copy = CopyRows::new(COLUMNS, rows.len());
    for (row, shared) in rows.iter().zip(shared) {
        encode(&mut copy, row, shared);
    }
    copy.send(connection, columns::COPY).traced("copy_requests").await
}

/// Inserts the rows; gives the ids of those that were not there before, in the
/// order of the rows, which is that of their keys.
pub(super) async fn insert(
    connection: &mut Transaction,
    rows: &[Row],
    shared: &[Shared],
) -> Result<Vec<Uuid>, Error> {
    // A table of this transaction.
    sqlx::raw_sql(include_str!("queries/create_incoming_requests.sql"))
        .execute(&mut *connection)
        .traced("create_incoming_requests")
        .await?;
    let mut copy = CopyRows::new(COLUMNS, rows.len());
    let mut last = None;
    for (row, shared) in rows.iter().zip(shared) {
        // Of those with one key the first one counts, here and in the rollups.
        if last.replace((row.started_at, row.id)) != Some((row.started_at, row.id)) {
            encode(&mut copy, row, shared);
        }
    }
    copy.send(connection, columns::COPY_INCOMING).traced("copy_incoming_requests").await?;
    let inserted =
        sqlx::query_scalar(columns::INSERT).fetch_all(connection).traced("insert_requests").await?;
    Ok(inserted)
}

/// Counts requests by minute, in their full and in their narrow series.
pub(super) fn roll_up<'a>(rows: impl IntoIterator<Item = (&'a Row, &'a Shared)>) -> BothSets {
    let mut full = Rollups::new();
    let mut narrow: HashMap<i64, NarrowIds> = HashMap::new();
    let mut gaps = Vec::new();
    for (row, Shared { series, .. }) in rows {
        let event = &row.event;
        gaps.clear();
        if let Some(histogram) = &event.token_gaps {
            gaps.append(&mut pack_histogram(histogram));
        }
        let sample = Sample {
            started_at: row.started_at,
            outcome: code(event.outcome),
            usage_source: code(event.usage_source),
            generating: Dimensions::from(&**event).generates(),
            tokens: [
                count(event.prompt_tokens),
                count(event.cached_prompt_tokens),
                count(event.cache_write_tokens),
                count(event.completion_tokens),
                count(event.reasoning_tokens),
                count(event.total_tokens),
            ],
            upstream_cost_usd: number(event.upstream_cost_usd),
            cost_source: cost_source(event),
            cost_nano_usd: cost(event).and_then(|cost| count(cost.nano_usd)),
            cache_saving_nano_usd: cost(event).and_then(|cost| cost.cache_saving_nano_usd),
            duration_us: micros(event.duration.as_ref()),
            first_token_us: micros(event.first_token.as_ref()),
            decode_rate: number(event.decode_tokens_per_second),
            prefill_rate: number(event.prefill_tokens_per_second),
            token_gaps: Some(&gaps),
            failure: (!NOT_FAILED.contains(&code(event.outcome))).then(|| Failure {
                error_type: event.error_type.as_deref(),
                event_id: row.id.as_u128(),
            }),
        };
        add_by_minute(&mut full, series.full, &sample);
        narrow.insert(series.full, series.narrow);
    }
    BothSets { narrow: narrowed(&full, &narrow), full }
}

/// The rollups of the narrow series.
pub(super) fn narrowed(full: &Rollups, narrow: &HashMap<i64, NarrowIds>) -> Rollups {
    let mut rollups = Rollups::with_capacity(full.len());
    for (key, measures) in full {
        let Some(narrow) = narrow.get(&key.series_id) else { continue };
        for series_id in &narrow[..ERRORS] {
            let key = Key { series_id: *series_id, ..*key };
            rollups.entry(key).or_default().merge_without_errors(measures);
        }
        if !measures.errors.is_empty() {
            let key = Key { series_id: narrow[ERRORS], ..*key };
            let errors = &mut rollups.entry(key).or_default().errors;
            errors.merge_of_key(&measures.errors, narrow[CLIENT_KEY]);
        }
    }
    rollups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_cannot_be_stored_comes_back_with_the_reason() {
        let (event, reason) = Row::new(UsageEvent::default(), None).unwrap_err();
        assert_eq!(event, UsageEvent::default());
        assert!(reason.starts_with("event_id"), "{reason}");
    }
}
