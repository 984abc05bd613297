//! Writes finished requests, many at a time; a request that is there already is
//! left as it is.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use modash_proto::{micros_from_duration, micros_from_timestamp, v1::LogHistogram, v1::UsageEvent};
use sqlx::{PgConnection, types::Uuid};

use super::{
    Error, Run,
    copy::CopyRows,
    dimensions::{Dimensions, NarrowIds},
    rollups::BothSets,
    series::SeriesIds,
    traced::Traced as _,
};
use crate::rollup::{Key, Rollups, Sample, add_by_minute, pack_buckets};

/// Columns of a row.
pub(super) const COLUMNS: i16 = 44;

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
    connection: &mut PgConnection,
    rows: &[Row],
    shared: &[Shared],
) -> Result<(), Error> {
    let mut copy = CopyRows::new(COLUMNS, rows.len());
    for (row, shared) in rows.iter().zip(shared) {
        encode(&mut copy, row, shared);
    }
    copy.send(connection, include_str!("queries/copy_requests.sql")).traced("copy_requests").await
}

/// Inserts the rows; gives the ids of those that were not there before, in the
/// order of the rows, which is that of their keys.
pub(super) async fn insert(
    connection: &mut PgConnection,
    rows: &[Row],
    shared: &[Shared],
) -> Result<Vec<Uuid>, Error> {
    // A table of this connection; one that was there already is empty.
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
    copy.send(connection, include_str!("queries/copy_incoming_requests.sql"))
        .traced("copy_incoming_requests")
        .await?;
    let inserted = sqlx::query_scalar(include_str!("queries/insert_requests.sql"))
        .fetch_all(connection)
        .traced("insert_requests")
        .await?;
    Ok(inserted)
}

/// Adds a row, its columns in the order of `copy_requests.sql`.
pub(super) fn encode(copy: &mut CopyRows, row: &Row, shared: &Shared) {
    // Texts that the kind has are left out.
    let own = |text| if shared.kind.is_none() { text } else { None };
    let event = &row.event;
    copy.row()
        .uuid(Some(row.id))
        .moment(Some(row.started_at))
        .bigint(Some(shared.series.full))
        .bigint(count(event.prompt_tokens))
        .bigint(count(event.cached_prompt_tokens))
        .bigint(count(event.cache_write_tokens))
        .bigint(count(event.completion_tokens))
        .bigint(count(event.reasoning_tokens))
        .bigint(count(event.audio_prompt_tokens))
        .bigint(count(event.audio_completion_tokens))
        .bigint(count(event.total_tokens))
        .bigint(count(event.billed_prompt_tokens))
        .bigint(count(event.billed_completion_tokens))
        .bigint(micros(event.billed_audio.as_ref()))
        .double(number(event.search_units))
        .double(number(event.upstream_cost_usd))
        .bigint(micros(event.connect.as_ref()))
        .bigint(micros(event.upstream_head.as_ref()))
        .bigint(micros(event.first_token.as_ref()))
        .bigint(micros(event.last_token.as_ref()))
        .bigint(micros(event.duration.as_ref()))
        .bigint(Some(count(Some(event.content_events)).unwrap_or_default()))
        .double(number(event.prefill_tokens_per_second))
        .double(number(event.decode_tokens_per_second))
        .bigint(Some(count(Some(event.request_bytes)).unwrap_or_default()))
        .bigint(Some(count(Some(event.response_bytes)).unwrap_or_default()))
        .smallint(Some(code(event.outcome)))
        .smallint(Some(code(event.usage_source)))
        .smallint(Some(code(event.speed_source)))
        .smallint(event.status.and_then(|status| i16::try_from(status).ok()))
        .text(own(Some(event.replica_id.as_str())))
        .text(own(Some(event.method.as_str())))
        .text(own(Some(event.path.as_str())))
        .text(own(event.model_requested.as_deref()))
        .text(event.session.as_deref())
        .text(event.response_id.as_deref())
        .text(own(event.finish_reason.as_deref()))
        .text(own(event.service_tier.as_deref()))
        .text(event.error_type.as_deref())
        .bytea(event.token_gaps.as_ref().map(pack_histogram).as_deref())
        .optional_integer(shared.kind)
        .uuid(event.trace_id.as_deref().and_then(|id| Uuid::try_parse(id).ok()))
        .bigint(event.span_id.map(u64::cast_signed))
        .bigint(event.parent_span_id.map(u64::cast_signed));
}

/// The contract's limit for counts is that of `bigint`.
fn count(value: Option<u64>) -> Option<i64> {
    value.and_then(|value| i64::try_from(value).ok())
}

fn micros(value: Option<&prost_types::Duration>) -> Option<i64> {
    value.and_then(micros_from_duration)
}

/// A number that is none, or no finite one, would spoil every sum it is in.
fn number(value: Option<f64>) -> Option<f64> {
    value.filter(|number| number.is_finite())
}

/// Enum values of a newer peer are kept as they are.
fn code(value: i32) -> i16 {
    i16::try_from(value).unwrap_or_default()
}

fn pack_histogram(histogram: &LogHistogram) -> Vec<u8> {
    pack_buckets(histogram.indexes.iter().copied().zip(histogram.counts.iter().copied()))
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
            duration_us: micros(event.duration.as_ref()),
            first_token_us: micros(event.first_token.as_ref()),
            decode_rate: number(event.decode_tokens_per_second),
            prefill_rate: number(event.prefill_tokens_per_second),
            token_gaps: Some(&gaps),
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
        for series_id in narrow.get(&key.series_id).into_iter().flatten() {
            rollups.entry(Key { series_id: *series_id, ..*key }).or_default().merge(measures);
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
