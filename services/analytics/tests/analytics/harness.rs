//! A running analytics with a database of its own, and proxies that talk to it.

use std::{net::SocketAddr, sync::OnceLock, time::Duration};

use chrono::{DateTime, Utc};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use modash_access::Access;
use modash_analytics::{Analytics, AnalyticsConfig, Error, Prices, RollupDays};
use modash_proto::{
    timestamp_from_micros,
    v1::{
        EventBatch, Hello, LiveUpdate, Reject, StreamUsageRequest, StreamUsageResponse, TimeRange,
        UsageEvent, analytics_service_client::AnalyticsServiceClient,
        ingest_service_client::IngestServiceClient, stream_usage_request::Message as Up,
        stream_usage_response::Message as Down,
    },
};
use modash_runtime::ServiceContext;
use modash_test_support::{Relay, TestDatabase, eventually};
use sqlx::{Connection as _, PgConnection};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// HTTP/2 without anything around it.
type HttpClient = Client<HttpConnector, tonic::body::Body>;

/// Running analytics.
pub(crate) struct TestAnalytics {
    pub(crate) database: TestDatabase,
    pub(crate) context: ServiceContext,
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    pub(crate) task: JoinHandle<Result<(), Error>>,
}

/// A configuration for a database: events of the last ten years are kept.
pub(crate) fn config(database_url: &str) -> AnalyticsConfig {
    AnalyticsConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        access: Access::open(),
        prices: Prices::default(),
        cors_origins: Default::default(),
        allowed_hosts: Default::default(),
        limits: modash_analytics::default_limits(),
        tls: None,
        database_url: Some(database_url.parse().unwrap()),
        listen_database_url: None,
        read_database_url: None,
        read_max_lag: Duration::from_secs(10),
        database_wait: PATIENCE,
        retention_days: 3650,
        rollup_days: RollupDays {
            full_minute: 3650,
            minute: 3650,
            quarter_hour: 3650,
            hours: 3650,
        },
        series_limit: 100_000,
        query_timeout: Duration::from_secs(10),
        query_rows: 3_000_000,
        query_connections: 4,
        queries_per_caller: None,
        budget_interval: Duration::from_secs(10),
        webhook_tls: Default::default(),
    }
}

/// Applies the migrations.
pub(crate) async fn migrated(config: AnalyticsConfig) -> Result<(), modash_analytics::Error> {
    modash_analytics::migrate(config, ServiceContext::new(Duration::from_secs(10))).await
}

impl TestAnalytics {
    /// Analytics that is ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with another configuration.
    pub(crate) async fn start_with(change: impl FnOnce(&mut AnalyticsConfig)) -> Self {
        let database = TestDatabase::create().await;
        let url = database.url();
        let analytics = Self::start_on(database, &url, change).await;
        analytics.ready().await;
        analytics
    }

    /// Analytics behind a line to its database.
    pub(crate) async fn start_behind_relay() -> (Self, Relay) {
        let database = TestDatabase::create().await;
        let relay = Relay::start(database.socket()).await;
        let url = database.url_through(relay.address());
        (Self::start_on(database, &url, |_| {}).await, relay)
    }

    /// Analytics that may not be ready.
    pub(crate) async fn start_on(
        database: TestDatabase,
        url: &str,
        change: impl FnOnce(&mut AnalyticsConfig),
    ) -> Self {
        let mut config = config(url);
        change(&mut config);
        let analytics = Analytics::bind(config).await.unwrap();
        let context = ServiceContext::new(Duration::from_secs(10));
        Self {
            database,
            address: analytics.address(),
            admin_address: analytics.admin_address(),
            task: tokio::spawn(analytics.run(context.clone())),
            context,
        }
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        tokio::time::timeout(PATIENCE, self.context.readiness.ready()).await.unwrap();
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// A client for questions.
    pub(crate) async fn client(&self) -> AnalyticsServiceClient<Channel> {
        AnalyticsServiceClient::new(self.channel().await)
            .max_decoding_message_size(64 * 1024 * 1024)
    }

    /// A client that leaves deadlines to the server. Tonic's channel has a timer for
    /// each of its own, which says CANCELLED and may fire before the answer is there.
    pub(crate) fn client_without_timers(&self) -> AnalyticsServiceClient<HttpClient> {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let origin = format!("http://{}", self.address).parse().unwrap();
        AnalyticsServiceClient::with_origin(client, origin)
    }

    /// A client for events.
    pub(crate) async fn ingest_client(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel().await)
    }

    /// A connection of its own to the database.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.database.url()).await.unwrap()
    }

    /// Stores events, all of them.
    pub(crate) async fn store(&self, events: Vec<UsageEvent>) {
        for events in events.chunk_by(|one, other| one.replica_id == other.replica_id) {
            let mut proxy = TestProxy::connect(self, &events[0].replica_id).await;
            for events in events.chunks(1000) {
                let last = proxy.send(events.to_vec()).await;
                assert_eq!(proxy.acknowledged(last).await, []);
            }
        }
    }

    /// Waits until all that commits noted is in the rollups.
    pub(crate) async fn folded(&self) {
        eventually(PATIENCE, || async {
            let waiting = "SELECT count(*) FROM rollup_changes";
            let connection = &mut self.connection().await;
            sqlx::query_scalar::<_, i64>(waiting).fetch_one(connection).await.unwrap() == 0
        })
        .await;
    }

    /// Rows in the database.
    pub(crate) async fn stored(&self) -> i64 {
        let mut connection = self.connection().await;
        sqlx::query_scalar("SELECT count(*) FROM requests")
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// Waits until something in the database waits for a lock.
    pub(crate) async fn blocked_by_a_lock(&self) {
        eventually(PATIENCE, || async {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&mut self.connection().await)
            .await
            .unwrap();
            waiting > 0
        })
        .await;
    }

    /// The text of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.context.metrics.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.context.shutdown.request();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// A proxy with a stream.
pub(crate) struct TestProxy {
    pub(crate) up: mpsc::Sender<StreamUsageRequest>,
    pub(crate) down: Streaming<StreamUsageResponse>,
    next: u64,
    /// That of its hello.
    replica_id: OnceLock<String>,
}

impl TestProxy {
    /// Opens a stream whose first event will have the sequence number 1.
    pub(crate) async fn connect(analytics: &TestAnalytics, replica_id: &str) -> Self {
        let mut proxy = Self::connect_silent(analytics).await;
        let hello = Hello {
            replica_id: replica_id.into(),
            version: "1.0.0".into(),
            next_sequence: 1,
            ..Hello::default()
        };
        proxy.say(Up::Hello(hello)).await;
        proxy.next = 1;
        proxy
    }

    /// Opens a stream and says nothing.
    pub(crate) async fn connect_silent(analytics: &TestAnalytics) -> Self {
        let (up, requests) = mpsc::channel(16);
        let stream = ReceiverStream::new(requests);
        let mut client = analytics.ingest_client().await;
        let down = client.stream_usage(stream).await.unwrap().into_inner();
        Self { up, down, next: 1, replica_id: OnceLock::new() }
    }

    pub(crate) async fn say(&self, message: Up) {
        if let Up::Hello(hello) = &message {
            let _ = self.replica_id.set(hello.replica_id.clone());
        }
        self.up.send(StreamUsageRequest { message: Some(message) }).await.unwrap();
    }

    /// Sends a batch; gives the sequence number of its last event. Events that name no
    /// replica of their own are this one's.
    pub(crate) async fn send(&mut self, mut events: Vec<UsageEvent>) -> u64 {
        let unnamed = modash_test_support::event().replica_id;
        for event in events.iter_mut().filter(|event| event.replica_id == unnamed) {
            event.replica_id = self.replica_id.get().cloned().unwrap_or_default();
        }
        let first_sequence = self.next;
        self.next += events.len() as u64;
        self.say(Up::Batch(EventBatch { first_sequence, events, ..Default::default() })).await;
        self.next - 1
    }

    /// Reports running requests.
    pub(crate) async fn report(
        &self,
        snapshot: bool,
        requests: Vec<modash_proto::v1::LiveRequest>,
    ) {
        self.say(Up::Live(LiveUpdate { snapshot, requests, part: None })).await;
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Result<Option<Down>, Status> {
        let answer = tokio::time::timeout(PATIENCE, self.down.message()).await.unwrap();
        answer.map(|answer| answer.map(|answer| answer.message.unwrap()))
    }

    /// Waits for the acknowledgement of an event; gives what was rejected until
    /// then.
    pub(crate) async fn acknowledged(&mut self, sequence: u64) -> Vec<Reject> {
        let mut rejects = Vec::new();
        loop {
            match self.answer().await.unwrap().expect("the stream ended") {
                Down::Ack(ack) if ack.sequence >= sequence => return rejects,
                Down::Reject(reject) => rejects.push(reject),
                Down::Ack(_) | Down::SlowDown(_) => {}
            }
        }
    }
}

/// A moment, from RFC 3339.
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A range, from RFC 3339.
pub(crate) fn range(start: &str, end: &str) -> Option<TimeRange> {
    let wire = |moment: &str| Some(timestamp_from_micros(at(moment).timestamp_micros()));
    Some(TimeRange { start: wire(start), end: wire(end) })
}

/// An event that began at a moment of RFC 3339.
pub(crate) fn event_at(moment: &str) -> UsageEvent {
    modash_test_support::event_at(at(moment).timestamp_micros())
}

/// A percentile is within 2 % of the value at the nearest rank.
#[track_caller]
pub(crate) fn assert_near(found: Option<f64>, expected: Option<f64>) {
    let near = match (found, expected) {
        // Half a bucket of 4 %; a thousandth is the least that is told from 0.
        (Some(found), Some(expected)) => (found - expected).abs() <= 0.0201 * expected + 0.001,
        (found, expected) => found == expected,
    };
    assert!(near, "found {found:?} for {expected:?}");
}

/// The fields that a status complains of.
pub(crate) fn violated(status: &Status) -> Vec<String> {
    use tonic_types::StatusExt as _;
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("no BadRequest");
    details.field_violations.into_iter().map(|violation| violation.field).collect()
}
