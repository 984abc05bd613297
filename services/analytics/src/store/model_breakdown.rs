//! One row for each model.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Error, Selection, Store};

pub(crate) use modash_proto::v1::ModelOrder;

/// Equal parts of the range in a sparkline.
pub(crate) const SPARKLINE_PARTS: usize = 24;

/// A model.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ModelRow {
    pub(crate) model: String,
    pub(crate) requests: i64,
    pub(crate) failed_requests: i64,
    pub(crate) prompt_tokens: i64,
    pub(crate) cached_prompt_tokens: i64,
    pub(crate) cache_write_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) reasoning_tokens: i64,
    pub(crate) total_tokens: i64,
    pub(crate) requests_without_usage: i64,
    /// Median.
    pub(crate) decode_rate: Option<f64>,
    /// Median.
    pub(crate) prefill_rate: Option<f64>,
    /// Percentiles 50, 95.
    pub(crate) first_token_us: Option<Vec<Option<f64>>>,
    pub(crate) last_seen_at: DateTime<Utc>,
    /// Models in all, those beyond the limit included.
    pub(crate) models: i64,
    /// Requests of all of them.
    pub(crate) all_requests: i64,
}

impl Store {
    /// The first models of a selection in an order.
    pub(crate) async fn model_breakdown(
        &self,
        selection: &Selection,
        order: ModelOrder,
        limit: u32,
    ) -> Result<Vec<ModelRow>, Error> {
        let rows = selection
            .query_as(include_str!("queries/model_breakdown.sql"))
            .bind(order as i16)
            .bind(i64::from(limit))
            .fetch_all(self.reader()?)
            .await?;
        Ok(rows)
    }

    /// Requests of some models in each part of the range.
    pub(crate) async fn model_sparklines(
        &self,
        selection: &Selection,
        part_starts: &[DateTime<Utc>; SPARKLINE_PARTS],
        models: &[&str],
    ) -> Result<HashMap<String, [u64; SPARKLINE_PARTS]>, Error> {
        let cells: Vec<(String, i32, i64)> = selection
            .query_as(include_str!("queries/model_sparklines.sql"))
            .bind(part_starts)
            .bind(models)
            .fetch_all(self.reader()?)
            .await?;
        let mut sparklines: HashMap<String, [u64; SPARKLINE_PARTS]> = HashMap::new();
        for (model, part, requests) in cells {
            let part = usize::try_from(part - 1).unwrap_or_default().min(SPARKLINE_PARTS - 1);
            sparklines.entry(model).or_default()[part] = requests.cast_unsigned();
        }
        Ok(sparklines)
    }
}
