//! An analytics service with fixed answers that can be told to fail, to hang
//! and to send live events, and that notes what it is asked.

use std::{
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use modash_proto::{Violations, v1};
use tokio::{
    runtime::{Builder, Runtime},
    sync::broadcast,
};
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status, metadata::MetadataMap, transport::Server};
use v1::{
    analytics_service_server::{AnalyticsService, AnalyticsServiceServer},
    subscribe_response::Message,
};

/// What the layers of the server answer.
type Response_ = http::Response<tonic::body::Body>;

/// Shared by the server and the test.
pub(crate) struct Script {
    /// What all unary methods fail with.
    pub(crate) failure: Mutex<Option<(Code, &'static str)>>,
    /// Unary methods never answer.
    pub(crate) hang: Mutex<bool>,
    /// Methods that were called, with their metadata.
    pub(crate) calls: Mutex<Vec<(&'static str, MetadataMap)>>,
    /// The last request for a summary.
    pub(crate) summary: Mutex<Option<v1::UsageSummaryRequest>>,
    /// Calls and subscriptions that are running.
    pub(crate) running: Arc<AtomicUsize>,
    /// Most calls that ran at the same time.
    pub(crate) most_running: AtomicUsize,
    /// Subscriptions so far.
    pub(crate) subscriptions: AtomicUsize,
    /// Subscriptions with this `authorization` are refused.
    pub(crate) refused: Mutex<Option<String>>,
    /// It asks for no tokens, so that it applies no scopes.
    pub(crate) applies_no_scopes: AtomicBool,
    /// What `connected` says.
    pub(crate) in_flight: Mutex<Vec<v1::LiveRequest>>,
    live: broadcast::Sender<Message>,
}

/// Counts what runs, also when it is dropped.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Script {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            failure: Mutex::default(),
            hang: Mutex::default(),
            calls: Mutex::default(),
            summary: Mutex::default(),
            running: Arc::default(),
            most_running: AtomicUsize::new(0),
            subscriptions: AtomicUsize::new(0),
            refused: Mutex::default(),
            applies_no_scopes: AtomicBool::default(),
            in_flight: Mutex::default(),
            live: broadcast::channel(1024).0,
        })
    }

    pub(crate) fn fail(&self, code: Code, message: &'static str) {
        *self.failure.lock().unwrap() = Some((code, message));
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Sends to all subscriptions.
    pub(crate) fn send(&self, message: Message) {
        let _ = self.live.send(message);
    }

    pub(crate) fn send_requests(&self, requests: Vec<v1::LiveRequest>) {
        self.send(Message::RequestStateUpdated(v1::RequestStateUpdated {
            requests,
            ..Default::default()
        }));
    }

    fn begin(&self) -> Running {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        Running(self.running.clone())
    }

    async fn answer<T, A>(
        &self,
        method: &'static str,
        request: Request<T>,
        answer: impl FnOnce(T) -> Result<A, Status>,
    ) -> Result<Response<A>, Status> {
        let _running = self.begin();
        let hang = *self.hang.lock().unwrap();
        self.calls.lock().unwrap().push((method, request.metadata().clone()));
        let failure = *self.failure.lock().unwrap();
        if let Some((code, message)) = failure {
            return Err(Status::new(code, message));
        }
        if hang {
            std::future::pending::<()>().await;
        }
        answer(request.into_inner()).map(Response::new)
    }
}

/// A server that can be killed and started again at the same address. It has
/// threads of its own, so that killing it also drops its connections.
pub(crate) struct Fake {
    pub(crate) script: Arc<Script>,
    pub(crate) address: SocketAddr,
    threads: Option<Runtime>,
}

impl Fake {
    pub(crate) async fn start(script: Arc<Script>, address: SocketAddr) -> Self {
        let mut listener = TcpListener::bind(address);
        // A server killed just now may still hold the address.
        while listener.is_err() && address.port() != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            listener = TcpListener::bind(address);
        }
        let listener = listener.unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let threads = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let service = AnalyticsServiceServer::new(Service(script.clone()));
        let answering = script.clone();
        let mark = tower::util::MapResponseLayer::new(move |mut response: Response_| {
            if !answering.applies_no_scopes.load(Ordering::SeqCst) {
                let yes = http::HeaderValue::from_static("true");
                response.headers_mut().insert(modash_access::APPLIES_SCOPES, yes);
            }
            response
        });
        threads.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            Server::builder()
                .accept_http1(true)
                // As analytics has it: a gateway's clients may leave in crowds.
                .http2_max_pending_accept_reset_streams(Some(10_000))
                .layer(mark)
                .layer(tonic_web::GrpcWebLayer::new())
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self { script, address, threads: Some(threads) }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

struct Service(Arc<Script>);

#[tonic::async_trait]
impl AnalyticsService for Service {
    async fn usage_summary(
        &self,
        request: Request<v1::UsageSummaryRequest>,
    ) -> Result<Response<v1::UsageSummaryResponse>, Status> {
        self.0
            .answer("UsageSummary", request, |request| {
                *self.0.summary.lock().unwrap() = Some(request);
                Ok(v1::UsageSummaryResponse {
                    requests: 3,
                    total_tokens: 1200,
                    duration_ms: Some(v1::DurationPercentiles {
                        p50: Some(41.5),
                        ..Default::default()
                    }),
                    ..Default::default()
                })
            })
            .await
    }

    async fn usage_timeseries(
        &self,
        request: Request<v1::UsageTimeseriesRequest>,
    ) -> Result<Response<v1::UsageTimeseriesResponse>, Status> {
        let second = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        self.0
            .answer("UsageTimeseries", request, |_| {
                Ok(v1::UsageTimeseriesResponse {
                    bucket_seconds: 60,
                    bucket_starts: vec![second(1_795_441_320), second(1_795_441_380)],
                    series: vec![v1::UsageSeries {
                        requests: vec![1, 2],
                        total_tokens: vec![400, 800],
                        ..Default::default()
                    }],
                    ..Default::default()
                })
            })
            .await
    }

    async fn throughput_timeseries(
        &self,
        request: Request<v1::ThroughputTimeseriesRequest>,
    ) -> Result<Response<v1::ThroughputTimeseriesResponse>, Status> {
        self.0
            .answer("ThroughputTimeseries", request, |_| {
                Ok(v1::ThroughputTimeseriesResponse {
                    bucket_seconds: 60,
                    bucket_starts: vec![prost_types::Timestamp::default()],
                    series: vec![v1::ThroughputSeries {
                        tokens_per_second: vec![13.5],
                        decode_p50: vec![f64::NAN],
                        ..Default::default()
                    }],
                    ..Default::default()
                })
            })
            .await
    }

    async fn breakdown(
        &self,
        request: Request<v1::BreakdownRequest>,
    ) -> Result<Response<v1::BreakdownResponse>, Status> {
        self.0.answer("Breakdown", request, |_| Ok(v1::BreakdownResponse::default())).await
    }

    async fn sessions(
        &self,
        request: Request<v1::SessionsRequest>,
    ) -> Result<Response<v1::SessionsResponse>, Status> {
        self.0.answer("Sessions", request, |_| Ok(v1::SessionsResponse::default())).await
    }

    async fn session(
        &self,
        request: Request<v1::SessionRequest>,
    ) -> Result<Response<v1::SessionResponse>, Status> {
        self.0.answer("Session", request, |_| Ok(v1::SessionResponse::default())).await
    }

    async fn model_breakdown(
        &self,
        request: Request<v1::ModelBreakdownRequest>,
    ) -> Result<Response<v1::ModelBreakdownResponse>, Status> {
        self.0
            .answer("ModelBreakdown", request, |_| {
                Ok(v1::ModelBreakdownResponse {
                    rows: vec![v1::ModelRow {
                        model: "qwen3-8b".to_owned(),
                        requests: 3,
                        ..Default::default()
                    }],
                    ..Default::default()
                })
            })
            .await
    }

    async fn completeness(
        &self,
        request: Request<v1::CompletenessRequest>,
    ) -> Result<Response<v1::CompletenessResponse>, Status> {
        self.0
            .answer("Completeness", request, |_| {
                Ok(v1::CompletenessResponse {
                    replicas: vec![v1::ReplicaCompleteness {
                        replica_id: "proxy-1".to_owned(),
                        committed: 3,
                        ..Default::default()
                    }],
                    ..Default::default()
                })
            })
            .await
    }

    async fn recent_requests(
        &self,
        request: Request<v1::RecentRequestsRequest>,
    ) -> Result<Response<v1::RecentRequestsResponse>, Status> {
        self.0
            .answer("RecentRequests", request, |request| {
                let mut violations = Violations::default();
                if request.page == 0 {
                    violations.add("page", "must be at least 1");
                }
                if !(1..=100).contains(&request.page_size) {
                    violations.add("page_size", "must be from 1 to 100");
                }
                violations.into_result()?;
                let row = v1::UsageEvent {
                    event_id: "019ab12c-0000-7000-8000-000000000001".to_owned(),
                    status: Some(200),
                    outcome: v1::Outcome::Ok.into(),
                    ..Default::default()
                };
                Ok(v1::RecentRequestsResponse {
                    rows: if request.page == 1 { vec![row] } else { Vec::new() },
                    total: 1,
                    page: request.page,
                    page_size: request.page_size,
                    ..Default::default()
                })
            })
            .await
    }

    async fn error_breakdown(
        &self,
        request: Request<v1::ErrorBreakdownRequest>,
    ) -> Result<Response<v1::ErrorBreakdownResponse>, Status> {
        self.0
            .answer("ErrorBreakdown", request, |_| Ok(v1::ErrorBreakdownResponse::default()))
            .await
    }

    async fn rate_limits(
        &self,
        request: Request<v1::RateLimitsRequest>,
    ) -> Result<Response<v1::RateLimitsResponse>, Status> {
        self.0.answer("RateLimits", request, |_| Ok(v1::RateLimitsResponse::default())).await
    }

    async fn list_views(
        &self,
        request: Request<v1::ListViewsRequest>,
    ) -> Result<Response<v1::ListViewsResponse>, Status> {
        self.0.answer("ListViews", request, |_| Ok(v1::ListViewsResponse::default())).await
    }

    async fn list_names(
        &self,
        request: Request<v1::ListNamesRequest>,
    ) -> Result<Response<v1::ListNamesResponse>, Status> {
        self.0.answer("ListNames", request, |_| Ok(v1::ListNamesResponse::default())).await
    }

    async fn set_name(
        &self,
        request: Request<v1::SetNameRequest>,
    ) -> Result<Response<v1::SetNameResponse>, Status> {
        self.0.answer("SetName", request, |_| Ok(v1::SetNameResponse::default())).await
    }

    async fn list_budgets(
        &self,
        request: Request<v1::ListBudgetsRequest>,
    ) -> Result<Response<v1::ListBudgetsResponse>, Status> {
        self.0.answer("ListBudgets", request, |_| Ok(v1::ListBudgetsResponse::default())).await
    }

    async fn save_budget(
        &self,
        request: Request<v1::SaveBudgetRequest>,
    ) -> Result<Response<v1::SaveBudgetResponse>, Status> {
        self.0.answer("SaveBudget", request, |_| Ok(v1::SaveBudgetResponse::default())).await
    }

    async fn delete_budget(
        &self,
        request: Request<v1::DeleteBudgetRequest>,
    ) -> Result<Response<v1::DeleteBudgetResponse>, Status> {
        self.0.answer("DeleteBudget", request, |_| Ok(v1::DeleteBudgetResponse::default())).await
    }

    async fn save_view(
        &self,
        request: Request<v1::SaveViewRequest>,
    ) -> Result<Response<v1::SaveViewResponse>, Status> {
        self.0.answer("SaveView", request, |_| Ok(v1::SaveViewResponse::default())).await
    }

    async fn delete_view(
        &self,
        request: Request<v1::DeleteViewRequest>,
    ) -> Result<Response<v1::DeleteViewResponse>, Status> {
        self.0.answer("DeleteView", request, |_| Ok(v1::DeleteViewResponse::default())).await
    }

    async fn list_marks(
        &self,
        request: Request<v1::ListMarksRequest>,
    ) -> Result<Response<v1::ListMarksResponse>, Status> {
        self.0.answer("ListMarks", request, |_| Ok(v1::ListMarksResponse::default())).await
    }

    async fn add_mark(
        &self,
        request: Request<v1::AddMarkRequest>,
    ) -> Result<Response<v1::AddMarkResponse>, Status> {
        self.0.answer("AddMark", request, |_| Ok(v1::AddMarkResponse::default())).await
    }

    async fn delete_mark(
        &self,
        request: Request<v1::DeleteMarkRequest>,
    ) -> Result<Response<v1::DeleteMarkResponse>, Status> {
        self.0.answer("DeleteMark", request, |_| Ok(v1::DeleteMarkResponse::default())).await
    }

    type SubscribeStream =
        Pin<Box<dyn Stream<Item = Result<v1::SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let shown = request.metadata().get("authorization").map(|value| value.to_str().unwrap());
        let refused = self.0.refused.lock().unwrap().clone();
        if refused.is_some() && refused.as_deref() == shown {
            return Err(Status::unauthenticated("revoked"));
        }
        let running = self.0.begin();
        self.0.calls.lock().unwrap().push(("Subscribe", request.metadata().clone()));
        let live = BroadcastStream::new(self.0.live.subscribe());
        self.0.subscriptions.fetch_add(1, Ordering::SeqCst);
        let connected = Message::Connected(v1::Connected {
            version: "fake".to_owned(),
            requests: self.0.in_flight.lock().unwrap().clone(),
            ..Default::default()
        });
        let messages = stream::iter([Ok(connected)])
            .chain(live.map(|message| message.map_err(|lag| Status::data_loss(lag.to_string()))))
            .map(move |message| {
                let _until_the_end = &running;
                message.map(|message| v1::SubscribeResponse { message: Some(message) })
            });
        Ok(Response::new(Box::pin(messages)))
    }
}
