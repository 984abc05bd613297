//! What is left of the upstreams' rate limits, by upstream and key.

use chrono::{DateTime, Utc};
use modash_access::Scope;
use modash_proto::{
    timestamp_from_micros,
    v1::{Exclusion, Filter, RateLimitRow, RateLimitsRequest, RateLimitsResponse, RefusalRow},
};

use super::{Queries, arguments::Arguments};
use crate::{error::Failure, store::LimitSums};

/// Parts of a sparkline.
const PARTS: usize = 24;

impl Queries {
    pub(super) async fn answer_rate_limits(
        &self,
        request: RateLimitsRequest,
        scope: Scope,
    ) -> Result<RateLimitsResponse, Failure> {
        let asked = request.filter.unwrap_or_default();
        let known = Filter {
            upstreams: asked.upstreams.clone(),
            client_keys: asked.client_keys.clone(),
            exclude: asked.exclude.as_ref().map(|exclude| Exclusion {
                upstreams: exclude.upstreams.clone(),
                client_keys: exclude.client_keys.clone(),
                ..Exclusion::default()
            }),
            ..Filter::default()
        };
        let narrower = asked != known;
        let mut arguments = Arguments::new(request.range.as_ref(), Some(asked), "", &scope);
        if narrower {
            let problem = "may only name upstreams and client_keys: limits are of nothing else";
            arguments.violations.add("filter", problem);
        }
        let limit = arguments.limit("limit", request.limit, 100, 1_000);
        let (range, filter, ()) = arguments.finish(Some(()))?;
        // Limits are shared by all models and tags, so nobody who sees some sees them.
        if !scope.models.is_empty() || !scope.tags.is_empty() {
            return Ok(RateLimitsResponse::default());
        }
        let mut snapshot = self.store.snapshot().await?;
        let sums = snapshot.rate_limits(range, &filter, limit).await?;
        let (refusals, limits): (Vec<_>, Vec<_>) =
            sums.into_iter().partition(LimitSums::is_of_refusals);
        Ok(RateLimitsResponse {
            total: limits.first().map_or(0, |limit| limit.total.cast_unsigned()),
            rows: limits.into_iter().map(row).collect(),
            refusals: refusals.into_iter().map(refusal).collect(),
        })
    }
}

fn moment(at: DateTime<Utc>) -> prost_types::Timestamp {
    timestamp_from_micros(at.timestamp_micros())
}

fn row(limit: LimitSums) -> RateLimitRow {
    let mut sparkline = vec![f64::NAN; PARTS];
    let (parts, headrooms) = (limit.parts.unwrap_or_default(), limit.headrooms.unwrap_or_default());
    for (part, headroom) in parts.into_iter().zip(headrooms) {
        if let Some(place) = usize::try_from(part).ok().and_then(|part| sparkline.get_mut(part)) {
            *place = headroom;
        }
    }
    let lowest = limit.lowest_headroom.is_some() || limit.lowest_remaining.is_some();
    RateLimitRow {
        upstream: limit.upstream,
        client_key: Some(limit.client_key).filter(|key| !key.is_empty()),
        kind: limit.kind.into(),
        window: limit.window_name,
        last_seen_at: Some(moment(limit.seen_at)),
        limit: limit.allowed.map(i64::cast_unsigned),
        remaining: limit.remaining.map(i64::cast_unsigned),
        headroom: limit.headroom,
        resets_at: limit.resets_at.map(moment),
        lowest_headroom: limit.lowest_headroom,
        lowest_remaining: limit.lowest_remaining.map(i64::cast_unsigned),
        lowest_at: limit.lowest_at.filter(|_| lowest).map(moment),
        sparkline,
    }
}

fn refusal(sums: LimitSums) -> RefusalRow {
    RefusalRow {
        upstream: sums.upstream,
        client_key: Some(sums.client_key).filter(|key| !key.is_empty()),
        requests: sums.refused.cast_unsigned(),
        last_seen_at: Some(moment(sums.seen_at)),
        retry_at: sums.resets_at.map(moment),
    }
}
