//! Totals and percentiles of a range, and of the range before.

use chrono::Datelike as _;
use modash_proto::{
    TimeRange,
    v1::{UsageSummaryRequest, UsageSummaryResponse},
};

use super::{Queries, arguments::Arguments, percentiles};
use crate::{error::Failure, store::UsageSummaryRow};

impl Queries {
    pub(super) async fn answer_usage_summary(
        &self,
        request: UsageSummaryRequest,
    ) -> Result<UsageSummaryResponse, Failure> {
        let mut arguments =
            Arguments::new(request.range.as_ref(), request.filter, &request.time_zone);
        let starts_too_early = |range: TimeRange| range.previous().start.year() < 1;
        if request.compare_previous && arguments.range().is_some_and(starts_too_early) {
            arguments
                .violations
                .add("compare_previous", "the range before would begin before the year 1");
        }
        let (range, filter, ()) = arguments.finish(Some(()))?;
        let selection = self.store.select(range, &filter).await?;
        let previous_range = range.previous();
        let previous_selection = selection.during(previous_range);
        let previous = async {
            if request.compare_previous {
                self.store.usage_summary(&previous_selection).await.map(Some)
            } else {
                Ok(None)
            }
        };
        let (current, previous) = tokio::try_join!(self.store.usage_summary(&selection), previous)?;
        let in_flight = self.live.in_flight(&filter);
        Ok(UsageSummaryResponse {
            in_flight_requests: in_flight,
            previous: previous.map(|row| Box::new(response(&row, previous_range))),
            ..response(&current, range)
        })
    }
}

fn response(row: &UsageSummaryRow, range: TimeRange) -> UsageSummaryResponse {
    UsageSummaryResponse {
        requests: row.requests.cast_unsigned(),
        failed_requests: row.failed_requests.cast_unsigned(),
        in_flight_requests: 0,
        prompt_tokens: row.prompt_tokens.cast_unsigned(),
        cached_prompt_tokens: row.cached_prompt_tokens.cast_unsigned(),
        cache_write_tokens: row.cache_write_tokens.cast_unsigned(),
        completion_tokens: row.completion_tokens.cast_unsigned(),
        reasoning_tokens: row.reasoning_tokens.cast_unsigned(),
        total_tokens: row.total_tokens.cast_unsigned(),
        requests_without_usage: row.requests_without_usage.cast_unsigned(),
        requests_with_estimated_usage: row.requests_with_estimated_usage.cast_unsigned(),
        duration_ms: Some(percentiles::durations(row.duration_us.as_ref())),
        time_to_first_token_ms: Some(percentiles::durations(row.first_token_us.as_ref())),
        decode_tokens_per_second: Some(percentiles::rates(row.decode_rate.as_ref())),
        prefill_tokens_per_second: Some(percentiles::rates(row.prefill_rate.as_ref())),
        previous: None,
        client_closed_requests: row.client_closed_requests.cast_unsigned(),
        upstream_cost_usd: row.upstream_cost_usd,
        range: Some(range.into()),
    }
}
