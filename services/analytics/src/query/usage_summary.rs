//! Totals and percentiles of a range, and of the range before.

use chrono::Datelike as _;
use modash_access::Scope;
use modash_proto::{
    TimeRange,
    v1::{UsageSummaryRequest, UsageSummaryResponse},
};

use super::{Queries, arguments::Arguments, cost::cost, percentiles};
use crate::{
    error::Failure,
    rollup::{Measures, Token},
    store::Grouping,
};

impl Queries {
    pub(super) async fn answer_usage_summary(
        &self,
        request: UsageSummaryRequest,
        scope: Scope,
    ) -> Result<UsageSummaryResponse, Failure> {
        let mut arguments =
            Arguments::new(request.range.as_ref(), request.filter, &request.time_zone, &scope);
        let starts_too_early = |range: TimeRange| range.previous().start.year() < 1;
        if request.compare_previous && arguments.range().is_some_and(starts_too_early) {
            arguments
                .violations
                .add("compare_previous", "the range before would begin before the year 1");
        }
        let (range, filter, ()) = arguments.finish(Some(()))?;
        let mut snapshot = self.store.snapshot().await?;
        let selection = snapshot.select(range, &filter).await?;
        let mut members = snapshot.members(&filter, &Grouping::None).await?;
        let mut bounds = vec![range.start, range.end];
        if request.compare_previous {
            bounds.insert(0, range.previous().start);
        }
        let all = selection.between(bounds[0], range.end);
        let mut measures = snapshot.totals(&all, &mut members, &bounds).await?.into_iter();
        let previous = (request.compare_previous)
            .then(|| Box::new(response(&measures.next().unwrap_or_default(), range.previous())));
        let current = measures.next().unwrap_or_default();
        let in_flight_requests = self.live.in_flight(&filter);
        Ok(UsageSummaryResponse { in_flight_requests, previous, ..response(&current, range) })
    }
}

fn response(all: &Measures, range: TimeRange) -> UsageSummaryResponse {
    let sums = &all.sums;
    let tokens = |token| sums.tokens(token).cast_unsigned();
    UsageSummaryResponse {
        requests: sums.requests.cast_unsigned(),
        failed_requests: sums.failed.cast_unsigned(),
        in_flight_requests: 0,
        prompt_tokens: tokens(Token::Prompt),
        cached_prompt_tokens: tokens(Token::CachedPrompt),
        cache_write_tokens: tokens(Token::CacheWrite),
        completion_tokens: tokens(Token::Completion),
        reasoning_tokens: tokens(Token::Reasoning),
        total_tokens: tokens(Token::Total),
        requests_without_usage: sums.without_usage.cast_unsigned(),
        requests_with_estimated_usage: sums.with_estimated_usage.cast_unsigned(),
        duration_ms: Some(percentiles::durations(&all.duration_us)),
        time_to_first_token_ms: Some(percentiles::durations(&all.first_token_us)),
        decode_tokens_per_second: Some(percentiles::rates(&all.decode_rate)),
        prefill_tokens_per_second: Some(percentiles::rates(&all.prefill_rate)),
        previous: None,
        client_closed_requests: sums.client_closed.cast_unsigned(),
        upstream_cost_usd: sums.upstream_cost_usd,
        range: Some(range.into()),
        cost: Some(cost(&sums.cost)),
    }
}
