//! One row for each model.

use chrono::{DateTime, Utc};
use modash_proto::{
    TimeRange, timestamp_from_micros,
    v1::{self, ModelBreakdownRequest, ModelBreakdownResponse},
};

use super::{
    Queries,
    arguments::Arguments,
    percentiles::{at, milliseconds},
};
use crate::{
    error::Failure,
    store::{ModelOrder, ModelRow, SPARKLINE_PARTS},
};

impl Queries {
    pub(super) async fn answer_model_breakdown(
        &self,
        request: ModelBreakdownRequest,
    ) -> Result<ModelBreakdownResponse, Failure> {
        let mut arguments =
            Arguments::new(request.range.as_ref(), request.filter, &request.time_zone);
        let limit = arguments.limit("limit", request.limit, 100, 1_000);
        let order = ModelOrder::try_from(request.order).unwrap_or_else(|_| {
            arguments.violations.add("order", "is not known to this version");
            ModelOrder::Unspecified
        });
        let (range, filter, ()) = arguments.finish(Some(()))?;
        let selection = self.store.select(range, &filter).await?;
        let rows = self.store.model_breakdown(&selection, order, limit).await?;
        let models: Vec<&str> = rows.iter().map(|row| row.model.as_str()).collect();
        let mut sparklines =
            self.store.model_sparklines(&selection, &parts(range), &models).await?;
        Ok(ModelBreakdownResponse {
            total: rows.first().map_or(0, |row| row.models.cast_unsigned()),
            rows: rows
                .iter()
                .map(|row| response(row, &sparklines.remove(&row.model).unwrap_or_default()))
                .collect(),
        })
    }
}

/// Starts of equal parts of a range, to the microsecond.
fn parts(range: TimeRange) -> [DateTime<Utc>; SPARKLINE_PARTS] {
    let length = (range.end - range.start).num_microseconds().unwrap_or(i64::MAX);
    std::array::from_fn(|part| {
        let offset = i128::from(length) * part as i128 / SPARKLINE_PARTS as i128;
        range.start + chrono::TimeDelta::microseconds(i64::try_from(offset).unwrap_or(i64::MAX))
    })
}

fn response(row: &ModelRow, sparkline: &[u64; SPARKLINE_PARTS]) -> v1::ModelRow {
    let first_token = row.first_token_us.as_ref();
    // A model without requests is not in the list: no division by 0.
    let share = |part: i64, whole: i64| part as f64 / whole as f64;
    v1::ModelRow {
        model: row.model.clone(),
        requests: row.requests.cast_unsigned(),
        share: share(row.requests, row.all_requests),
        failed_requests: row.failed_requests.cast_unsigned(),
        error_share: share(row.failed_requests, row.requests),
        prompt_tokens: row.prompt_tokens.cast_unsigned(),
        cached_prompt_tokens: row.cached_prompt_tokens.cast_unsigned(),
        cache_write_tokens: row.cache_write_tokens.cast_unsigned(),
        completion_tokens: row.completion_tokens.cast_unsigned(),
        reasoning_tokens: row.reasoning_tokens.cast_unsigned(),
        total_tokens: row.total_tokens.cast_unsigned(),
        requests_without_usage: row.requests_without_usage.cast_unsigned(),
        decode_tokens_per_second_p50: row.decode_rate,
        prefill_tokens_per_second_p50: row.prefill_rate,
        time_to_first_token_ms_p50: at(first_token, 0).map(milliseconds),
        time_to_first_token_ms_p95: at(first_token, 1).map(milliseconds),
        last_seen_at: Some(timestamp_from_micros(row.last_seen_at.timestamp_micros())),
        sparkline: sparkline.to_vec(),
    }
}
