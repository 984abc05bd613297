//! The columns of `requests`: their names and what of an event stands in them, in the
//! one place from which the statements that write them are made.

use modash_proto::{
    micros_from_duration,
    v1::{LogHistogram, RequestCost, UsageEvent},
};
use sqlx::types::Uuid;

use super::{
    copy::CopyRows,
    insert_requests::{Row, Shared},
};
use crate::rollup::pack_buckets;

/// Makes the statements and the encoder of columns, each with its type and its value.
macro_rules! columns {
    (
        |$row:ident, $shared:ident, $event:ident, $own:ident|
        $first:ident: $first_type:ident($first_value:expr),
        $($name:ident: $type:ident($value:expr),)+
    ) => {
        /// Number of columns.
        pub(super) const COLUMNS: i16 = [stringify!($first), $(stringify!($name)),+].len() as i16;

        /// Takes requests over none of which is there yet.
        pub(super) const COPY: &str = concat!(
            "COPY requests (", names!($first $($name)+), ") FROM STDIN (FORMAT binary)"
        );

        /// Takes requests over as they come.
        pub(super) const COPY_INCOMING: &str = concat!(
            "COPY incoming_requests (", names!($first $($name)+), ") FROM STDIN (FORMAT binary)"
        );

        /// Adds the requests that wait; those that are there already stay as they are and
        /// are left out of the answer, which is in the order of the key. They were sent in
        /// that order, but after a failed transaction they may lie in another one.
        pub(super) const INSERT: &str = concat!(
            "INSERT INTO requests (", names!($first $($name)+), ") SELECT ",
            names!($first $($name)+),
            " FROM incoming_requests ORDER BY started_at, event_id \
              ON CONFLICT (started_at, event_id) DO NOTHING RETURNING event_id"
        );

        /// Adds a row.
        pub(super) fn encode(copy: &mut CopyRows, $row: &Row, $shared: &Shared) {
            // Texts that the kind has are left out.
            let $own = |text| if $shared.kind.is_none() { text } else { None };
            let $event = &*$row.event;
            copy.row().$first_type($first_value)$(.$type($value))+;
        }
    };
}

/// Names with commas between them.
macro_rules! names {
    ($first:ident $($name:ident)+) => {
        concat!(stringify!($first), $(", ", stringify!($name)),+)
    };
}

columns! { |row, shared, event, own|
    event_id: uuid(Some(row.id)),
    started_at: moment(Some(row.started_at)),
    series_id: bigint(Some(shared.series.full)),
    prompt_tokens: bigint(count(event.prompt_tokens)),
    cached_prompt_tokens: bigint(count(event.cached_prompt_tokens)),
    cache_write_tokens: bigint(count(event.cache_write_tokens)),
    cache_write_1h_tokens: bigint(count(event.cache_write_1h_tokens)),
    completion_tokens: bigint(count(event.completion_tokens)),
    reasoning_tokens: bigint(count(event.reasoning_tokens)),
    audio_prompt_tokens: bigint(count(event.audio_prompt_tokens)),
    audio_completion_tokens: bigint(count(event.audio_completion_tokens)),
    cached_audio_prompt_tokens: bigint(positive(event.cached_audio_prompt_tokens)),
    image_prompt_tokens: bigint(positive(event.image_prompt_tokens)),
    cached_image_prompt_tokens: bigint(positive(event.cached_image_prompt_tokens)),
    image_completion_tokens: bigint(positive(event.image_completion_tokens)),
    images: bigint(count(event.images)),
    characters: bigint(count(event.characters)),
    total_tokens: bigint(count(event.total_tokens)),
    billed_prompt_tokens: bigint(count(event.billed_prompt_tokens)),
    billed_completion_tokens: bigint(count(event.billed_completion_tokens)),
    billed_audio_us: bigint(micros(event.billed_audio.as_ref())),
    search_units: double(number(event.search_units)),
    upstream_cost_usd: double(number(event.upstream_cost_usd)),
    cost_nano_usd: bigint(cost(event).and_then(|cost| count(cost.nano_usd))),
    cache_saving_nano_usd: bigint(cost(event).and_then(|cost| cost.cache_saving_nano_usd)),
    connect_us: bigint(micros(event.connect.as_ref())),
    upstream_head_us: bigint(micros(event.upstream_head.as_ref())),
    first_token_us: bigint(micros(event.first_token.as_ref())),
    last_token_us: bigint(micros(event.last_token.as_ref())),
    duration_us: bigint(micros(event.duration.as_ref())),
    content_events: bigint(Some(count(Some(event.content_events)).unwrap_or_default())),
    prefill_tokens_per_second: double(number(event.prefill_tokens_per_second)),
    decode_tokens_per_second: double(number(event.decode_tokens_per_second)),
    request_bytes: bigint(Some(count(Some(event.request_bytes)).unwrap_or_default())),
    response_bytes: bigint(Some(count(Some(event.response_bytes)).unwrap_or_default())),
    span_id: bigint(event.span_id.map(u64::cast_signed)),
    parent_span_id: bigint(event.parent_span_id.map(u64::cast_signed)),
    kind_id: optional_integer(shared.kind),
    outcome: smallint(Some(code(event.outcome))),
    usage_source: smallint(Some(code(event.usage_source))),
    speed_source: smallint(Some(code(event.speed_source))),
    status: smallint(event.status.and_then(|status| i16::try_from(status).ok())),
    cost_source: smallint(Some(cost_source(event))),
    zero_parts: smallint(zero_parts(event)),
    trace_id: uuid(event.trace_id.as_deref().and_then(|id| Uuid::try_parse(id).ok())),
    replica_id: text(own(Some(event.replica_id.as_str()))),
    method: text(own(Some(event.method.as_str()))),
    path: text(own(Some(event.path.as_str()))),
    model_requested: text(own(event.model_requested.as_deref())),
    session: text(event.session.as_deref()),
    response_id: text(event.response_id.as_deref()),
    finish_reason: text(own(event.finish_reason.as_deref())),
    service_tier: text(own(event.service_tier.as_deref())),
    error_type: text(event.error_type.as_deref()),
    provider: text(own(cost(event).and_then(|cost| cost.provider.as_deref()))),
    price_version: text(own(cost(event).and_then(|cost| cost.price_version.as_deref()))),
    token_gaps: bytea(event.token_gaps.as_ref().map(pack_histogram).as_deref()),
}

/// The contract's limit for counts is that of `bigint`.
pub(super) fn count(value: Option<u64>) -> Option<i64> {
    value.and_then(|value| i64::try_from(value).ok())
}

fn positive(value: Option<u64>) -> Option<i64> {
    count(value).filter(|value| *value > 0)
}

/// Which parts are known to be 0, one bit each: nearly all requests have no images, and
/// many say so.
fn zero_parts(event: &UsageEvent) -> Option<i16> {
    let parts = [
        event.cached_audio_prompt_tokens,
        event.image_prompt_tokens,
        event.cached_image_prompt_tokens,
        event.image_completion_tokens,
    ];
    let bits = (0..).zip(parts).filter(|(_, part)| *part == Some(0)).map(|(at, _)| 1 << at).sum();
    (bits != 0).then_some(bits)
}

pub(super) fn micros(value: Option<&prost_types::Duration>) -> Option<i64> {
    value.and_then(micros_from_duration)
}

/// A number that is none, or no finite one, would spoil every sum it is in.
pub(super) fn number(value: Option<f64>) -> Option<f64> {
    value.filter(|number| number.is_finite())
}

/// Enum values of a newer peer are kept as they are.
pub(super) fn code(value: i32) -> i16 {
    i16::try_from(value).unwrap_or_default()
}

pub(super) fn pack_histogram(histogram: &LogHistogram) -> Vec<u8> {
    pack_buckets(histogram.indexes.iter().copied().zip(histogram.counts.iter().copied()))
}

/// What a request cost.
pub(super) fn cost(event: &UsageEvent) -> Option<&RequestCost> {
    event.cost.as_ref()
}

/// Where its cost comes from.
pub(super) fn cost_source(event: &UsageEvent) -> i16 {
    cost(event).map_or(0, |cost| code(cost.source))
}
