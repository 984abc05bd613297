//! One row for each model: the breakdown by models under names of its own.

use modash_access::Scope;
use modash_proto::v1::{
    BreakdownOrder, BreakdownRow, Dimension, ModelBreakdownRequest, ModelBreakdownResponse,
    ModelOrder, ModelRow,
};

use super::{
    Queries,
    arguments::Arguments,
    breakdown::{Ask, Rows},
};
use crate::{error::Failure, store::Grouping};

impl Queries {
    pub(super) async fn answer_model_breakdown(
        &self,
        request: ModelBreakdownRequest,
        scope: Scope,
    ) -> Result<ModelBreakdownResponse, Failure> {
        let mut arguments =
            Arguments::new(request.range.as_ref(), request.filter, &request.time_zone, &scope);
        let limit = arguments.limit("limit", request.limit, 100, 1_000) as usize;
        let order = ModelOrder::try_from(request.order).unwrap_or_else(|_| {
            arguments.violations.add("order", "is not known to this version");
            ModelOrder::Unspecified
        });
        let (range, filter, ()) = arguments.finish(Some(()))?;
        let grouping = Grouping::Dimension(Dimension::Model);
        let ask = Ask { range, filter, grouping, order: order_of(order), skip: 0, limit };
        let Rows { rows, total, other } = self.break_down(ask).await?;
        let rows = rows.into_iter().map(model_row).collect();
        Ok(ModelBreakdownResponse { rows, total, other: other.map(model_row) })
    }
}

fn order_of(order: ModelOrder) -> BreakdownOrder {
    match order {
        ModelOrder::Unspecified | ModelOrder::Requests => BreakdownOrder::Requests,
        ModelOrder::TotalTokens => BreakdownOrder::TotalTokens,
        ModelOrder::CompletionTokens => BreakdownOrder::CompletionTokens,
        ModelOrder::LastSeen => BreakdownOrder::LastSeen,
        ModelOrder::ErrorShare => BreakdownOrder::ErrorShare,
        ModelOrder::Cost => BreakdownOrder::Cost,
    }
}

fn model_row(row: BreakdownRow) -> ModelRow {
    ModelRow {
        model: row.key,
        requests: row.requests,
        share: row.share,
        failed_requests: row.failed_requests,
        error_share: row.error_share,
        prompt_tokens: row.prompt_tokens,
        cached_prompt_tokens: row.cached_prompt_tokens,
        cache_write_tokens: row.cache_write_tokens,
        completion_tokens: row.completion_tokens,
        reasoning_tokens: row.reasoning_tokens,
        total_tokens: row.total_tokens,
        requests_without_usage: row.requests_without_usage,
        decode_tokens_per_second_p50: row.decode_tokens_per_second_p50,
        prefill_tokens_per_second_p50: row.prefill_tokens_per_second_p50,
        time_to_first_token_ms_p50: row.time_to_first_token_ms_p50,
        time_to_first_token_ms_p95: row.time_to_first_token_ms_p95,
        last_seen_at: row.last_seen_at,
        sparkline: row.sparkline,
        cost: row.cost,
    }
}
