//! A request as a flat record: the columns of an export, under the names that
//! the contract and the database have for them. Absent is unknown.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat};
use modash_proto::{
    micros_from_duration, micros_from_timestamp,
    v1::{
        CostSource, NamedKind, Operation, Outcome, RequestCost, SpeedSource, UsageEvent,
        UsageSource,
    },
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::store::NameRow;

/// Names that people gave.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<(i16, String), String>);

impl From<Vec<NameRow>> for Names {
    fn from(rows: Vec<NameRow>) -> Self {
        Self(rows.into_iter().map(|row| ((row.kind, row.id), row.name)).collect())
    }
}

impl Names {
    fn of(&self, kind: NamedKind, id: Option<&str>) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(kind as i16, id?.to_owned())).map(String::as_str)
    }
}

/// One request. `N` is how nested values are written: as they are in JSON, as
/// JSON text in a cell.
#[derive(Debug, Serialize)]
pub(super) struct Record<'a, N> {
    event_id: &'a str,
    replica_id: &'a str,
    started_at: String,
    upstream: &'a str,
    dialect: &'a str,
    operation: String,
    method: &'a str,
    path: &'a str,
    model_requested: Option<&'a str>,
    model: Option<&'a str>,
    stream: bool,
    user_agent_family: Option<&'a str>,
    client_key: Option<&'a str>,
    client_key_name: Option<&'a str>,
    user: Option<&'a str>,
    user_name: Option<&'a str>,
    session: Option<&'a str>,
    tags: N,
    trace_id: Option<&'a str>,
    span_id: Option<String>,
    parent_span_id: Option<String>,
    status: Option<u32>,
    response_id: Option<&'a str>,
    finish_reason: Option<&'a str>,
    service_tier: Option<&'a str>,
    outcome: String,
    error_type: Option<&'a str>,
    usage_source: String,
    prompt_tokens: Option<u64>,
    cached_prompt_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    cache_write_1h_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    audio_prompt_tokens: Option<u64>,
    audio_completion_tokens: Option<u64>,
    cached_audio_prompt_tokens: Option<u64>,
    image_prompt_tokens: Option<u64>,
    cached_image_prompt_tokens: Option<u64>,
    image_completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    billed_prompt_tokens: Option<u64>,
    billed_completion_tokens: Option<u64>,
    billed_audio_us: Option<i64>,
    images: Option<u64>,
    characters: Option<u64>,
    search_units: Option<f64>,
    upstream_cost_usd: Option<f64>,
    provider: Option<&'a str>,
    cost_source: String,
    cost_nano_usd: Option<u64>,
    cache_saving_nano_usd: Option<i64>,
    price_version: Option<&'a str>,
    connect_us: Option<i64>,
    upstream_head_us: Option<i64>,
    first_token_us: Option<i64>,
    last_token_us: Option<i64>,
    duration_us: Option<i64>,
    content_events: u64,
    token_gaps: Option<N>,
    prefill_tokens_per_second: Option<f64>,
    decode_tokens_per_second: Option<f64>,
    speed_source: Option<String>,
    request_bytes: u64,
    response_bytes: u64,
}

impl<'a, N> Record<'a, N> {
    /// The record of an event, with names given to what it carries; `nested` writes what
    /// has parts.
    pub(super) fn new(
        event: &'a UsageEvent,
        names: &'a Names,
        nested: impl Fn(Value) -> N,
    ) -> Self {
        let micros =
            |duration: Option<&prost_types::Duration>| duration.and_then(micros_from_duration);
        let gaps = event.token_gaps.as_ref().map(|gaps| {
            // Pairs of bucket and count; usage_event.proto says which bucket is what.
            let pairs: Vec<_> = gaps.indexes.iter().zip(&gaps.counts).collect();
            json!(pairs)
        });
        let cost = event.cost.as_ref();
        Self {
            event_id: &event.event_id,
            replica_id: &event.replica_id,
            started_at: started_at(event),
            upstream: &event.upstream,
            dialect: &event.dialect,
            operation: name(Operation::as_str_name(&event.known_operation()), "OPERATION_"),
            method: &event.method,
            path: &event.path,
            model_requested: event.model_requested.as_deref(),
            model: event.model.as_deref(),
            stream: event.stream,
            user_agent_family: event.user_agent_family.as_deref(),
            client_key: event.client_key.as_deref(),
            client_key_name: names.of(NamedKind::ClientKey, event.client_key.as_deref()),
            user: event.user.as_deref(),
            user_name: names.of(NamedKind::User, event.user.as_deref()),
            session: event.session.as_deref(),
            tags: nested(json!(event.tags)),
            trace_id: event.trace_id.as_deref(),
            span_id: event.span_id.map(span_id),
            parent_span_id: event.parent_span_id.map(span_id),
            status: event.status,
            response_id: event.response_id.as_deref(),
            finish_reason: event.finish_reason.as_deref(),
            service_tier: event.service_tier.as_deref(),
            outcome: outcome_name(event.known_outcome()),
            error_type: event.error_type.as_deref(),
            usage_source: name(
                UsageSource::as_str_name(&event.known_usage_source()),
                "USAGE_SOURCE_",
            ),
            prompt_tokens: event.prompt_tokens,
            cached_prompt_tokens: event.cached_prompt_tokens,
            cache_write_tokens: event.cache_write_tokens,
            cache_write_1h_tokens: event.cache_write_1h_tokens,
            completion_tokens: event.completion_tokens,
            reasoning_tokens: event.reasoning_tokens,
            audio_prompt_tokens: event.audio_prompt_tokens,
            audio_completion_tokens: event.audio_completion_tokens,
            cached_audio_prompt_tokens: event.cached_audio_prompt_tokens,
            image_prompt_tokens: event.image_prompt_tokens,
            cached_image_prompt_tokens: event.cached_image_prompt_tokens,
            image_completion_tokens: event.image_completion_tokens,
            total_tokens: event.total_tokens,
            billed_prompt_tokens: event.billed_prompt_tokens,
            billed_completion_tokens: event.billed_completion_tokens,
            billed_audio_us: micros(event.billed_audio.as_ref()),
            images: event.images,
            characters: event.characters,
            search_units: event.search_units,
            upstream_cost_usd: event.upstream_cost_usd,
            provider: cost.and_then(|cost| cost.provider.as_deref()),
            cost_source: name(
                cost.map_or(CostSource::Unspecified, RequestCost::source).as_str_name(),
                "COST_SOURCE_",
            ),
            cost_nano_usd: cost.and_then(|cost| cost.nano_usd),
            cache_saving_nano_usd: cost.and_then(|cost| cost.cache_saving_nano_usd),
            price_version: cost.and_then(|cost| cost.price_version.as_deref()),
            connect_us: micros(event.connect.as_ref()),
            upstream_head_us: micros(event.upstream_head.as_ref()),
            first_token_us: micros(event.first_token.as_ref()),
            last_token_us: micros(event.last_token.as_ref()),
            duration_us: micros(event.duration.as_ref()),
            content_events: event.content_events,
            token_gaps: gaps.map(&nested),
            prefill_tokens_per_second: event.prefill_tokens_per_second,
            decode_tokens_per_second: event.decode_tokens_per_second,
            speed_source: Some(event.known_speed_source())
                .filter(|source| *source != SpeedSource::Unspecified)
                .map(|source| name(source.as_str_name(), "SPEED_SOURCE_")),
            request_bytes: event.request_bytes,
            response_bytes: event.response_bytes,
        }
    }
}

/// An outcome in lower case, without its prefix.
pub(super) fn outcome_name(outcome: Outcome) -> String {
    name(outcome.as_str_name(), "OUTCOME_")
}

fn name(full: &str, prefix: &str) -> String {
    full.trim_start_matches(prefix).to_lowercase()
}

/// 16 hexadecimal digits, as tracing tools write it.
fn span_id(id: u64) -> String {
    format!("{id:016x}")
}

/// RFC 3339, to the microsecond.
fn started_at(event: &UsageEvent) -> String {
    event
        .started_at
        .as_ref()
        .and_then(micros_from_timestamp)
        .and_then(DateTime::from_timestamp_micros)
        .map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true))
        .unwrap_or_default()
}
