//! Failed requests by what went wrong, model and upstream.

use modash_access::Scope;
use modash_proto::{
    timestamp_from_micros,
    v1::{ErrorBreakdownRequest, ErrorBreakdownResponse, ErrorRow},
};

use super::{Queries, arguments::Arguments};
use crate::{error::Failure, store::ErrorGroup};

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
        let groups = snapshot.error_breakdown(&selection, limit).await?;
        let (total, failed_requests) =
            groups.first().map_or((0, 0), |group| (group.groups, group.failed_requests));
        Ok(ErrorBreakdownResponse {
            rows: groups.into_iter().map(row).collect(),
            total: total.cast_unsigned(),
            failed_requests: failed_requests.cast_unsigned(),
        })
    }
}

fn row(group: ErrorGroup) -> ErrorRow {
    let moment = |at: chrono::DateTime<chrono::Utc>| timestamp_from_micros(at.timestamp_micros());
    ErrorRow {
        outcome: group.outcome.into(),
        error_type: group.error_type,
        model: group.model,
        upstream: group.upstream,
        requests: group.requests.cast_unsigned(),
        share: group.requests as f64 / group.failed_requests.max(1) as f64,
        first_started_at: Some(moment(group.first_started_at)),
        last_started_at: Some(moment(group.last_started_at)),
        client_keys: group.client_keys.cast_unsigned(),
        sample_event_id: group.event_id.to_string(),
    }
}
