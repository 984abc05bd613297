//! AnalyticsService: one method for each question. Each checks its arguments,
//! asks the store, and puts the rows into the form of the contract.

use std::{future::Future, sync::Arc, time::Duration};

use modash_access::{CallerId, Scope};
use modash_proto::v1::{
    AddMarkRequest, AddMarkResponse, BreakdownRequest, BreakdownResponse, CompletenessRequest,
    CompletenessResponse, DeleteBudgetRequest, DeleteBudgetResponse, DeleteMarkRequest,
    DeleteMarkResponse, DeleteViewRequest, DeleteViewResponse, Dimension, ErrorBreakdownRequest,
    ErrorBreakdownResponse, ListBudgetsRequest, ListBudgetsResponse, ListMarksRequest,
    ListMarksResponse, ListNamesRequest, ListNamesResponse, ListViewsRequest, ListViewsResponse,
    ModelBreakdownRequest, ModelBreakdownResponse, Operation, Outcome, RateLimitsRequest,
    RateLimitsResponse, RecentRequestsRequest, RecentRequestsResponse, SaveBudgetRequest,
    SaveBudgetResponse, SaveViewRequest, SaveViewResponse, SessionRequest, SessionResponse,
    SessionsRequest, SessionsResponse, SetNameRequest, SetNameResponse, SubscribeRequest,
    ThroughputTimeseriesRequest, ThroughputTimeseriesResponse, UsageSummaryRequest,
    UsageSummaryResponse, UsageTimeseriesRequest, UsageTimeseriesResponse,
    analytics_service_server::AnalyticsService,
};
use modash_runtime::Shares;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};
use tracing::Instrument as _;

use crate::{
    budget::Budgets,
    deadline,
    error::{Failure, LimitedLog},
    gate,
    live::{Live, MAX_SUBSCRIPTIONS},
    metrics::QueryMetrics,
    store::{self, Grouping, Store},
    trace,
};

mod arguments;
mod breakdown;
mod budgets;
mod callers;
mod completeness;
mod cost;
mod error_breakdown;
mod grid;
mod groups;
mod marks;
mod model_breakdown;
mod names;
mod percentiles;
mod rate_limits;
mod recent_requests;
mod sessions;
mod subscribe;
mod throughput_timeseries;
mod usage_summary;
mod usage_timeseries;
mod views;

pub(crate) use callers::Callers;
pub(crate) use grid::midnight;
pub(crate) use subscribe::EncodedSubscribe;

/// Answers questions.
#[derive(Debug)]
pub(crate) struct Queries {
    store: Arc<Store>,
    live: Arc<Live>,
    budgets: Arc<Budgets>,
    metrics: QueryMetrics,
    callers: Callers,
    /// Places of subscriptions.
    subscriptions: Shares<CallerId>,
    timeout: Duration,
    log: LimitedLog,
}

impl Queries {
    pub(crate) fn new(
        store: Arc<Store>,
        live: Arc<Live>,
        budgets: Arc<Budgets>,
        metrics: QueryMetrics,
        callers: Callers,
        timeout: Duration,
    ) -> Self {
        let (subscriptions, log) = (Shares::new(MAX_SUBSCRIPTIONS), LimitedLog::default());
        Self { store, live, budgets, metrics, callers, subscriptions, timeout, log }
    }

    /// Runs the work of a call, with what the caller sees, within its deadline; counts
    /// it, and turns what went wrong into a status.
    async fn answer<Q, A, W>(
        &self,
        method: &'static str,
        request: Request<Q>,
        work: impl FnOnce(Q, Scope) -> W,
    ) -> Result<Response<A>, Status>
    where
        W: Future<Output = Result<A, Failure>>,
    {
        let begun = Instant::now();
        let asked = deadline::from_metadata(request.metadata()).unwrap_or(Duration::MAX);
        // A statement is cancelled by the database just before.
        let limit = asked.min(self.timeout + Duration::from_millis(500));
        let span = trace::call(method, request.metadata().as_ref());
        let scope = gate::scope(request.extensions())?;
        let opened = self.callers.open(request.extensions());
        let work = work(request.into_inner(), scope);
        let work = Box::pin(async {
            let query = opened?;
            let _turn = query.begins().await;
            work.await
        });
        let answer = tokio::time::timeout(limit, work)
            .instrument(span.clone())
            .await
            .unwrap_or(Err(Failure::Deadline))
            .map_err(|failure| span.in_scope(|| self.status(method, failure)));
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        trace::answered(&span, code);
        let duration = begun.elapsed();
        trace::took(method, code, duration);
        self.metrics.answered(method, code, duration);
        answer.map(Response::new)
    }

    fn status(&self, method: &'static str, failure: Failure) -> Status {
        if let Failure::Store(error) = &failure
            && !matches!(error, store::Error::NotPrepared | store::Error::TooManyRows)
        {
            self.log.write(|held_back| {
                tracing::error!(method, error = error.detail(), held_back, "query failed");
            });
        }
        failure.into_status()
    }
}

#[tonic::async_trait]
impl AnalyticsService for Queries {
    async fn usage_summary(
        &self,
        request: Request<UsageSummaryRequest>,
    ) -> Result<Response<UsageSummaryResponse>, Status> {
        self.answer("UsageSummary", request, |request, scope| {
            self.answer_usage_summary(request, scope)
        })
        .await
    }

    async fn usage_timeseries(
        &self,
        request: Request<UsageTimeseriesRequest>,
    ) -> Result<Response<UsageTimeseriesResponse>, Status> {
        self.answer("UsageTimeseries", request, |request, scope| {
            self.answer_usage_timeseries(request, scope)
        })
        .await
    }

    async fn throughput_timeseries(
        &self,
        request: Request<ThroughputTimeseriesRequest>,
    ) -> Result<Response<ThroughputTimeseriesResponse>, Status> {
        self.answer("ThroughputTimeseries", request, |request, scope| {
            self.answer_throughput_timeseries(request, scope)
        })
        .await
    }

    async fn model_breakdown(
        &self,
        request: Request<ModelBreakdownRequest>,
    ) -> Result<Response<ModelBreakdownResponse>, Status> {
        self.answer("ModelBreakdown", request, |request, scope| {
            self.answer_model_breakdown(request, scope)
        })
        .await
    }

    async fn breakdown(
        &self,
        request: Request<BreakdownRequest>,
    ) -> Result<Response<BreakdownResponse>, Status> {
        self.answer("Breakdown", request, |request, scope| self.answer_breakdown(request, scope))
            .await
    }

    async fn recent_requests(
        &self,
        request: Request<RecentRequestsRequest>,
    ) -> Result<Response<RecentRequestsResponse>, Status> {
        self.answer("RecentRequests", request, |request, scope| {
            self.answer_recent_requests(request, scope)
        })
        .await
    }

    async fn sessions(
        &self,
        request: Request<SessionsRequest>,
    ) -> Result<Response<SessionsResponse>, Status> {
        self.answer("Sessions", request, |request, scope| self.answer_sessions(request, scope))
            .await
    }

    async fn session(
        &self,
        request: Request<SessionRequest>,
    ) -> Result<Response<SessionResponse>, Status> {
        self.answer("Session", request, |request, scope| self.answer_session(request, scope)).await
    }

    async fn completeness(
        &self,
        request: Request<CompletenessRequest>,
    ) -> Result<Response<CompletenessResponse>, Status> {
        self.answer("Completeness", request, |request, scope| {
            self.answer_completeness(request, scope)
        })
        .await
    }

    async fn error_breakdown(
        &self,
        request: Request<ErrorBreakdownRequest>,
    ) -> Result<Response<ErrorBreakdownResponse>, Status> {
        self.answer("ErrorBreakdown", request, |request, scope| {
            self.answer_error_breakdown(request, scope)
        })
        .await
    }

    async fn rate_limits(
        &self,
        request: Request<RateLimitsRequest>,
    ) -> Result<Response<RateLimitsResponse>, Status> {
        self.answer("RateLimits", request, |request, scope| self.answer_rate_limits(request, scope))
            .await
    }

    async fn list_views(
        &self,
        request: Request<ListViewsRequest>,
    ) -> Result<Response<ListViewsResponse>, Status> {
        self.answer("ListViews", request, |_, scope| self.answer_list_views(scope)).await
    }

    async fn save_view(
        &self,
        request: Request<SaveViewRequest>,
    ) -> Result<Response<SaveViewResponse>, Status> {
        self.answer("SaveView", request, |request, _| self.answer_save_view(request)).await
    }

    async fn delete_view(
        &self,
        request: Request<DeleteViewRequest>,
    ) -> Result<Response<DeleteViewResponse>, Status> {
        self.answer("DeleteView", request, |request, _| self.answer_delete_view(request)).await
    }

    async fn list_names(
        &self,
        request: Request<ListNamesRequest>,
    ) -> Result<Response<ListNamesResponse>, Status> {
        self.answer("ListNames", request, |_, scope| self.answer_list_names(scope)).await
    }

    async fn set_name(
        &self,
        request: Request<SetNameRequest>,
    ) -> Result<Response<SetNameResponse>, Status> {
        self.answer("SetName", request, |request, _| self.answer_set_name(request)).await
    }

    async fn list_marks(
        &self,
        request: Request<ListMarksRequest>,
    ) -> Result<Response<ListMarksResponse>, Status> {
        self.answer("ListMarks", request, |request, _| self.answer_list_marks(request)).await
    }

    async fn add_mark(
        &self,
        request: Request<AddMarkRequest>,
    ) -> Result<Response<AddMarkResponse>, Status> {
        self.answer("AddMark", request, |request, _| self.answer_add_mark(request)).await
    }

    async fn delete_mark(
        &self,
        request: Request<DeleteMarkRequest>,
    ) -> Result<Response<DeleteMarkResponse>, Status> {
        self.answer("DeleteMark", request, |request, _| self.answer_delete_mark(request)).await
    }

    async fn list_budgets(
        &self,
        request: Request<ListBudgetsRequest>,
    ) -> Result<Response<ListBudgetsResponse>, Status> {
        self.answer("ListBudgets", request, |_, scope| self.answer_list_budgets(scope)).await
    }

    async fn save_budget(
        &self,
        request: Request<SaveBudgetRequest>,
    ) -> Result<Response<SaveBudgetResponse>, Status> {
        self.answer("SaveBudget", request, |request, _| self.answer_save_budget(request)).await
    }

    async fn delete_budget(
        &self,
        request: Request<DeleteBudgetRequest>,
    ) -> Result<Response<DeleteBudgetResponse>, Status> {
        self.answer("DeleteBudget", request, |request, _| self.answer_delete_budget(request)).await
    }

    type SubscribeStream = subscribe::Decoded;

    /// The server does not come here: see [`EncodedSubscribe`].
    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        self.open_subscription(request).map(|subscription| Response::new(subscription.into()))
    }
}

/// The value of a group, from the text of the statements: outcomes and operations are
/// numbers there and names of the contract here.
fn group_name(grouping: &Grouping, key: &str) -> String {
    let number: Option<i32> = key.parse().ok();
    let name = match grouping {
        Grouping::Dimension(Dimension::Outcome) => number
            .and_then(|number| Outcome::try_from(number).ok())
            .map(|outcome| outcome.as_str_name()),
        Grouping::Dimension(Dimension::Operation) => number
            .and_then(|number| Operation::try_from(number).ok())
            .map(|operation| operation.as_str_name()),
        _ => None,
    };
    name.unwrap_or(key).to_owned()
}
