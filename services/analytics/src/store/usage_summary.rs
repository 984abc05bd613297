//! Totals and percentiles of a range.

use sqlx::FromRow;

use super::{Error, Selection, Store};

/// Totals; percentiles are NULL, or three values, in the order of the statement.
#[derive(Debug, Clone, Default, FromRow)]
pub(crate) struct UsageSummaryRow {
    pub(crate) requests: i64,
    pub(crate) failed_requests: i64,
    pub(crate) client_closed_requests: i64,
    pub(crate) prompt_tokens: i64,
    pub(crate) cached_prompt_tokens: i64,
    pub(crate) cache_write_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) reasoning_tokens: i64,
    pub(crate) total_tokens: i64,
    pub(crate) requests_without_usage: i64,
    pub(crate) requests_with_estimated_usage: i64,
    /// Percentiles 50, 95, 99.
    pub(crate) duration_us: Option<Vec<Option<f64>>>,
    /// Percentiles 50, 95, 99.
    pub(crate) first_token_us: Option<Vec<Option<f64>>>,
    /// Percentiles 5, 50, 95.
    pub(crate) decode_rate: Option<Vec<Option<f64>>>,
    /// Percentiles 5, 50, 95.
    pub(crate) prefill_rate: Option<Vec<Option<f64>>>,
    pub(crate) upstream_cost_usd: Option<f64>,
}

impl Store {
    /// Sums up a selection.
    pub(crate) async fn usage_summary(
        &self,
        selection: &Selection,
    ) -> Result<UsageSummaryRow, Error> {
        let statement = include_str!("queries/usage_summary.sql");
        Ok(selection.query_as(statement).fetch_one(self.reader()?).await?)
    }
}
