//! Sessions: a list of them, and the requests of one.

use chrono::{DateTime, TimeDelta, Utc};
use modash_access::Scope;
use modash_proto::{
    duration_from_micros, timestamp_from_micros,
    v1::{
        Cost, Filter, SessionOrder, SessionRequest, SessionResponse, SessionRow, SessionsRequest,
        SessionsResponse, TimeRange,
    },
};

use super::{Queries, arguments::Arguments};
use crate::{
    error::Failure,
    store::{SessionPage, SessionSums},
};

/// Requests of a session in one answer.
const MOST_REQUESTS: u32 = 2_000;

impl Queries {
    pub(super) async fn answer_sessions(
        &self,
        request: SessionsRequest,
        scope: Scope,
    ) -> Result<SessionsResponse, Failure> {
        let mut arguments = Arguments::new(request.range.as_ref(), request.filter, "", &scope);
        let page_size = arguments.limit("page_size", request.page_size, 50, 100);
        let page = request.page.max(1);
        let order = SessionOrder::try_from(request.order).unwrap_or_else(|_| {
            arguments.violations.add("order", "is not known to this version");
            SessionOrder::Unspecified
        });
        arguments.refuse_single_requests();
        let (range, filter, ()) = arguments.finish(Some(()))?;
        let mut snapshot = self.store.snapshot().await?;
        let selection = snapshot.select(range, &filter).await?;
        let limit = i64::from(page_size);
        let offset = limit * (i64::from(page) - 1);
        let order = order as i16;
        let page_of = SessionPage { order, limit, offset };
        let (rows, total) = snapshot.sessions(&selection, page_of).await?;
        let total = total.cast_unsigned();
        Ok(SessionsResponse { rows: rows.into_iter().map(row).collect(), total, page, page_size })
    }

    pub(super) async fn answer_session(
        &self,
        request: SessionRequest,
        scope: Scope,
    ) -> Result<SessionResponse, Failure> {
        let everything = TimeRange {
            start: Some(timestamp_from_micros(0)),
            end: Some(timestamp_from_micros((Utc::now() + TimeDelta::days(1)).timestamp_micros())),
        };
        let filter = Filter { sessions: vec![request.session.clone()], ..Filter::default() };
        let mut arguments = Arguments::new(Some(&everything), Some(filter), "", &scope);
        if request.session.is_empty() {
            arguments.violations.add("session", "must not be empty");
        }
        let page_size = arguments.limit("page_size", request.page_size, 500, MOST_REQUESTS);
        let page = request.page.max(1);
        let (range, filter, ()) = arguments.finish(Some(()))?;
        let mut snapshot = self.store.snapshot().await?;
        let selection = snapshot.select(range, &filter).await?;
        let first = SessionPage { order: 0, limit: 1, offset: 0 };
        let (found, _) = snapshot.sessions(&selection, first).await?;
        let Some(sums) = found.into_iter().next() else {
            return Ok(SessionResponse { page, page_size, ..SessionResponse::default() });
        };
        // Only the days in which it ran are looked at.
        let end = sums.last_started_at + TimeDelta::microseconds(1);
        let selection = selection.between(sums.first_started_at, end);
        let limit = i64::from(page_size);
        let offset = limit * (i64::from(page) - 1);
        let mut requests = snapshot.session_requests(&selection, limit, offset).await?;
        requests.iter_mut().for_each(|request| request.token_gaps = None);
        Ok(SessionResponse { session: Some(row(sums)), requests, page, page_size })
    }
}

fn row(sums: SessionSums) -> SessionRow {
    let moment = |at: DateTime<Utc>| Some(timestamp_from_micros(at.timestamp_micros()));
    SessionRow {
        session: sums.session,
        first_started_at: moment(sums.first_started_at),
        last_started_at: moment(sums.last_started_at),
        last_ended_at: moment(sums.last_ended_at),
        requests: sums.requests.cast_unsigned(),
        failed_requests: sums.failed_requests.cast_unsigned(),
        prompt_tokens: sums.prompt_tokens.cast_unsigned(),
        cached_prompt_tokens: sums.cached_prompt_tokens.cast_unsigned(),
        completion_tokens: sums.completion_tokens.cast_unsigned(),
        total_tokens: sums.total_tokens.cast_unsigned(),
        cost: Some(Cost {
            nano_usd: sums.cost_nano_usd.cast_unsigned(),
            cache_saving_nano_usd: sums.cache_saving_nano_usd,
            known_requests: sums.known_costs.cast_unsigned(),
            unknown_requests: sums.unknown_costs.cast_unsigned(),
            estimated_requests: sums.estimated_costs.cast_unsigned(),
        }),
        model_time: Some(duration_from_micros(sums.duration_us)),
        models: sums.models.unwrap_or_default(),
    }
}
