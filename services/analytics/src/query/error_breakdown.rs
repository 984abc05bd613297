//! Failed requests by what went wrong, model and upstream.

use modash_access::Scope;
use modash_proto::{
    timestamp_from_micros,
    v1::{ErrorBreakdownRequest, ErrorBreakdownResponse, ErrorRow},
};

use super::{Queries, arguments::Arguments};
use crate::{
    error::Failure,
    store::{ErrorGroup, ErrorGroups},
};

impl Queries {
    pub(super) async fn answer_error_breakdown(
        &self,
        request: ErrorBreakdownRequest,
        scope: Scope,
    ) -> Result<ErrorBreakdownResponse, Failure> {
        let mut arguments = Arguments::new(request.range.as_ref(), request.filter, "", &scope);
        let limit = arguments.limit("limit", request.limit, 100, 1_000);
        let (range, filter, ()) = arguments.finish(Some(()))?;
        let mut snapshot = self.store.snapshot().await?;
        let selection = snapshot.select(range, &filter).await?;
        let found = snapshot.error_breakdown(&selection, &filter, limit).await?;
        let ErrorGroups { rows, total, failed_requests } = found;
        Ok(ErrorBreakdownResponse {
            rows: rows.into_iter().map(|group| row(group, failed_requests)).collect(),
            total: total as u64,
            failed_requests: failed_requests.cast_unsigned(),
        })
    }
}

fn row(group: ErrorGroup, failed_requests: i64) -> ErrorRow {
    ErrorRow {
        outcome: group.outcome.into(),
        error_type: group.error_type,
        model: group.model,
        upstream: group.upstream,
        requests: group.requests.cast_unsigned(),
        share: group.requests as f64 / failed_requests.max(1) as f64,
        first_started_at: Some(timestamp_from_micros(group.first_started_us)),
        last_started_at: Some(timestamp_from_micros(group.last_started_us)),
        client_keys: group.client_keys as u64,
        sample_event_id: group.event_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}
