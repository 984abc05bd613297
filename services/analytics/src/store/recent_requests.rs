//! Single requests, newest first, as the events that they came as.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use modash_proto::{
    duration_from_micros, timestamp_from_micros,
    v1::{LogHistogram, RequestCost, UsageEvent},
};
use sqlx::{
    Row as _,
    postgres::PgRow,
    types::{Json, Uuid},
};

use super::{Error, Selection, Snapshot, traced::Traced as _};
use crate::rollup::unpack_buckets;

/// A place in the order of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) id: Uuid,
}

/// Which requests of a selection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// At most so many.
    pub(crate) limit: i64,
    /// After leaving out so many.
    pub(crate) offset: i64,
    /// Only those after this one.
    pub(crate) after: Option<Position>,
}

impl Snapshot {
    /// Requests of a selection, newest first.
    pub(crate) async fn recent_requests(
        &mut self,
        selection: &Selection,
        page: Page,
    ) -> Result<Vec<UsageEvent>, Error> {
        self.plan_for_requests().await?;
        let rows = selection
            .clone()
            .into_query(include_str!("queries/recent_requests.sql"))
            // All columns of a table are others once a newer binary has added some.
            .persistent(false)
            .bind(page.limit)
            .bind(page.offset)
            .bind(page.after.map(|after| after.started_at))
            .bind(page.after.map(|after| after.id))
            .fetch_all(&mut self.transaction)
            .traced("recent_requests")
            .await?;
        Ok(rows.iter().map(event).collect::<Result<_, _>>()?)
    }
}

pub(super) fn event(row: &PgRow) -> Result<UsageEvent, sqlx::Error> {
    let count = |column: &str| -> Result<Option<u64>, sqlx::Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(i64::cast_unsigned))
    };
    let duration = |column: &str| -> Result<Option<prost_types::Duration>, sqlx::Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(duration_from_micros))
    };
    let code = |column: &str| row.try_get::<i16, _>(column).map(i32::from);
    // In the row itself or, for most, in its kind.
    let text = |column: &str, of_kind: &str| -> Result<Option<String>, sqlx::Error> {
        match row.try_get(column)? {
            Some(text) => Ok(Some(text)),
            None => row.try_get(of_kind),
        }
    };
    let zero_parts: i16 = row.try_get::<Option<_>, _>("zero_parts")?.unwrap_or_default();
    // A part of 0 is a bit in place of a number.
    let part = |column: &str, bit: u8| -> Result<Option<u64>, sqlx::Error> {
        Ok(count(column)?.or((zero_parts >> bit & 1 != 0).then_some(0)))
    };
    let started_at: DateTime<Utc> = row.try_get("started_at")?;
    let tags: Json<HashMap<String, String>> = row.try_get("tags")?;
    let status: Option<i16> = row.try_get("status")?;
    let gaps: Option<&[u8]> = row.try_get("token_gaps")?;
    Ok(UsageEvent {
        // Kept by upstream and key, and by chain.
        rate_limits: None,
        previous_response_id: None,
        event_id: row.try_get::<Uuid, _>("event_id")?.to_string(),
        replica_id: text("replica_id", "kind_replica_id")?.unwrap_or_default(),
        started_at: Some(timestamp_from_micros(started_at.timestamp_micros())),
        upstream: row.try_get("upstream")?,
        dialect: row.try_get("dialect")?,
        operation: code("operation")?,
        method: text("method", "kind_method")?.unwrap_or_default(),
        path: text("path", "kind_path")?.unwrap_or_default(),
        model_requested: text("model_requested", "kind_model_requested")?,
        stream: row.try_get("stream")?,
        user_agent_family: row.try_get("user_agent_family")?,
        client_key: row.try_get("client_key")?,
        user: row.try_get("user_name")?,
        session: row.try_get("session")?,
        tags: tags.0,
        trace_id: row.try_get::<Option<Uuid>, _>("trace_id")?.map(|id| id.simple().to_string()),
        span_id: count("span_id")?,
        parent_span_id: count("parent_span_id")?,
        status: status.map(|status| status.cast_unsigned().into()),
        model: row.try_get("model")?,
        response_id: row.try_get("response_id")?,
        finish_reason: text("finish_reason", "kind_finish_reason")?,
        service_tier: text("service_tier", "kind_service_tier")?,
        outcome: code("outcome")?,
        error_type: row.try_get("error_type")?,
        // Only ingest needs it: the counts of stored requests are booked already.
        book_once: false,
        usage_source: code("usage_source")?,
        prompt_tokens: count("prompt_tokens")?,
        cached_prompt_tokens: count("cached_prompt_tokens")?,
        cache_write_tokens: count("cache_write_tokens")?,
        cache_write_1h_tokens: count("cache_write_1h_tokens")?,
        completion_tokens: count("completion_tokens")?,
        reasoning_tokens: count("reasoning_tokens")?,
        audio_prompt_tokens: count("audio_prompt_tokens")?,
        audio_completion_tokens: count("audio_completion_tokens")?,
        cached_audio_prompt_tokens: part("cached_audio_prompt_tokens", 0)?,
        image_prompt_tokens: part("image_prompt_tokens", 1)?,
        cached_image_prompt_tokens: part("cached_image_prompt_tokens", 2)?,
        image_completion_tokens: part("image_completion_tokens", 3)?,
        images: count("images")?,
        characters: count("characters")?,
        total_tokens: count("total_tokens")?,
        billed_prompt_tokens: count("billed_prompt_tokens")?,
        billed_completion_tokens: count("billed_completion_tokens")?,
        search_units: row.try_get("search_units")?,
        billed_audio: duration("billed_audio_us")?,
        upstream_cost_usd: row.try_get("upstream_cost_usd")?,
        connect: duration("connect_us")?,
        upstream_head: duration("upstream_head_us")?,
        first_token: duration("first_token_us")?,
        last_token: duration("last_token_us")?,
        duration: duration("duration_us")?,
        content_events: count("content_events")?.unwrap_or_default(),
        token_gaps: gaps.map(histogram),
        prefill_tokens_per_second: row.try_get("prefill_tokens_per_second")?,
        decode_tokens_per_second: row.try_get("decode_tokens_per_second")?,
        speed_source: code("speed_source")?,
        // Not kept.
        upstream_sent: None,
        request_bytes: count("request_bytes")?.unwrap_or_default(),
        response_bytes: count("response_bytes")?.unwrap_or_default(),
        cost: Some(RequestCost {
            source: code("cost_source")?,
            nano_usd: count("cost_nano_usd")?,
            cache_saving_nano_usd: row.try_get("cache_saving_nano_usd")?,
            provider: text("provider", "kind_provider")?,
            price_version: text("price_version", "kind_price_version")?,
        }),
    })
}

fn histogram(packed: &[u8]) -> LogHistogram {
    let (indexes, counts) = unpack_buckets(packed).unzip();
    LogHistogram { indexes, counts }
}
