//! Tokens: who may call which method over which door, and what a scope lets its
//! bearer see.

use std::time::Duration;

use modash_access::{Access, Role, Scope, Token};
use modash_proto::v1::{
    CompletenessRequest, ErrorBreakdownRequest, Filter, Hello, ModelBreakdownRequest, ModelOrder,
    RecentRequestsRequest, SubscribeRequest, ThroughputTimeseriesRequest, UsageEvent,
    UsageSummaryRequest, UsageTimeseriesRequest, analytics_service_client::AnalyticsServiceClient,
    ingest_service_client::IngestServiceClient, stream_usage_request::Message as Up,
    subscribe_response::Message,
};
use modash_test_support::{TestDatabase, TokensFile, event};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt as _;

use crate::{
    harness::{PATIENCE, TestAnalytics},
    random::Random,
};

/// Shows a token, or nothing.
#[derive(Clone)]
pub(crate) struct Bearer(pub(crate) Option<Token>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value = MetadataValue::try_from(format!("Bearer {}", token.expose())).unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

type With<C> = InterceptedService<C, Bearer>;

async fn channel(analytics: &TestAnalytics) -> Channel {
    Channel::from_shared(format!("http://{}", analytics.address)).unwrap().connect().await.unwrap()
}

pub(crate) async fn reader(
    analytics: &TestAnalytics,
    token: Option<&Token>,
) -> AnalyticsServiceClient<With<Channel>> {
    let channel = channel(analytics).await;
    AnalyticsServiceClient::with_interceptor(channel, Bearer(token.cloned()))
}

pub(crate) async fn proxy(
    analytics: &TestAnalytics,
    token: Option<&Token>,
) -> IngestServiceClient<With<Channel>> {
    IngestServiceClient::with_interceptor(channel(analytics).await, Bearer(token.cloned()))
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("no ErrorInfo").reason
}

#[tokio::test]
async fn each_refusal_has_its_code_and_its_reason() {
    let file = TokensFile::new();
    let expired = file.add_expired("expired", Role::Read);
    let ingest = file.add("proxy", Role::Ingest);
    let read = file.add("grafana", Role::Read);
    let admin = file.add("operator", Role::Admin);
    let access = file.access();
    let analytics = TestAnalytics::start_with(|config| config.access = access).await;
    let unknown = Token::generate();
    for (token, code, expected) in [
        (None, Code::Unauthenticated, "TOKEN_MISSING"),
        (Some(&unknown), Code::Unauthenticated, "TOKEN_UNKNOWN"),
        (Some(&expired), Code::Unauthenticated, "TOKEN_EXPIRED"),
        (Some(&ingest), Code::PermissionDenied, "ROLE_MISSING"),
    ] {
        let mut client = reader(&analytics, token).await;
        let status = client.usage_summary(UsageSummaryRequest::default()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
        let status = client.subscribe(SubscribeRequest::default()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
        if let Some(token) = token {
            assert!(!format!("{status:?}").contains(token.expose()), "{status:?}");
        }
    }
    for token in [&read, &admin] {
        let mut client = reader(&analytics, Some(token)).await;
        client.usage_summary(UsageSummaryRequest::default()).await.unwrap();
        let mut client = proxy(&analytics, Some(token)).await;
        let status = client.stream_usage(tokio_stream::pending()).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::PermissionDenied, "ROLE_MISSING")
        );
    }
}

#[tokio::test]
async fn a_revoked_token_ends_its_open_streams() {
    let file = TokensFile::new();
    let read = file.add("grafana", Role::Read);
    let ingest = file.add("proxy", Role::Ingest);
    let access = file.access();
    let analytics = TestAnalytics::start_with(|config| config.access = access).await;
    let request = SubscribeRequest::default();
    let mut changes =
        reader(&analytics, Some(&read)).await.subscribe(request).await.unwrap().into_inner();
    let (_up, requests) = tokio::sync::mpsc::channel(1);
    let mut answers = proxy(&analytics, Some(&ingest))
        .await
        .stream_usage(ReceiverStream::new(requests))
        .await
        .unwrap()
        .into_inner();
    assert!(matches!(
        changes.message().await.unwrap().unwrap().message,
        Some(Message::Connected(_))
    ));
    file.revoke("grafana");
    file.revoke("proxy");
    let ended = async {
        while changes.message().await.is_ok_and(|message| message.is_some()) {}
        changes.trailers().await
    };
    let _ = tokio::time::timeout(PATIENCE, ended).await.expect("the subscription goes on");
    let status = tokio::time::timeout(PATIENCE, answers.message()).await.expect("ingest goes on");
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let status = reader(&analytics, Some(&read)).await.subscribe(SubscribeRequest::default()).await;
    assert_eq!(reason(&status.unwrap_err()), "TOKEN_UNKNOWN");
}

#[tokio::test]
async fn a_token_that_is_bound_to_replicas_sends_for_no_other() {
    let file = TokensFile::new();
    let token = file.add_with("proxy", Role::Ingest, |grant| grant.replicas = vec!["mine".into()]);
    let access = file.access();
    let analytics = TestAnalytics::start_with(|config| config.access = access).await;
    for (replica_id, expected) in [("mine", None), ("another", Some(Code::PermissionDenied))] {
        let (up, requests) = tokio::sync::mpsc::channel(4);
        let hello = Hello { replica_id: replica_id.into(), ..Hello::default() };
        for message in [Up::Hello(hello), Up::Stats(Default::default())] {
            let message = modash_proto::v1::StreamUsageRequest { message: Some(message) };
            up.send(message).await.unwrap();
        }
        drop(up);
        let mut answers = proxy(&analytics, Some(&token))
            .await
            .stream_usage(ReceiverStream::new(requests))
            .await
            .unwrap()
            .into_inner();
        let ended = tokio::time::timeout(PATIENCE, answers.message()).await.unwrap();
        assert_eq!(ended.map_or_else(|status| Some(status.code()), |_| None), expected);
    }
}

/// The filter that lets pass what both let pass; `None`: nothing does.
fn both(filter: Option<Filter>, scope: &Scope) -> Option<Filter> {
    let mut both = filter.unwrap_or_default();
    for (asked, allowed) in [
        (&mut both.models, &scope.models),
        (&mut both.upstreams, &scope.upstreams),
        (&mut both.client_keys, &scope.client_keys),
    ] {
        if !allowed.is_empty() {
            if asked.is_empty() {
                asked.clone_from(allowed);
            }
            asked.retain(|value| allowed.contains(value));
            if asked.is_empty() {
                return None;
            }
        }
    }
    for (name, value) in &scope.tags {
        if both.tags.insert(name.clone(), value.clone()).is_some_and(|asked| asked != *value) {
            return None;
        }
    }
    Some(both)
}

/// A second analytics on the database of the first, with tokens.
pub(crate) async fn guarded(first: &TestAnalytics, access: Access) -> TestAnalytics {
    let unused = TestDatabase::create().await;
    let url = first.database.url();
    let second = TestAnalytics::start_on(unused, &url, |config| config.access = access).await;
    second.ready().await;
    second
}

/// An answer as text.
fn text<T: std::fmt::Debug>(answer: &Result<T, Status>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(status) => status.message().to_owned(),
    }
}

/// Whether two answers say the same: sums of fractions depend on their order.
fn agree(one: &str, other: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split([' ', ',', '(', ')', '[', ']']).map(str::to_owned).collect()
    };
    let (one, other) = (words(one), words(other));
    let same = |(one, other): (&String, &String)| match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(a), Ok(b)) if one.contains('.') => (a - b).abs() <= 1e-9 * a.abs(),
        _ => one == other,
    };
    one.len() == other.len() && one.iter().zip(&other).all(same)
}

/// The same question to both must have the same answer; `None`: nothing is found, so
/// that the answer is that of a filter that lets nothing pass.
macro_rules! same {
    ($open:ident, $scoped:ident, $method:ident, $request:expr, $filter:expr, $both:expr, $context:expr) => {
        let request = |filter| {
            let mut request = $request.clone();
            request.filter = filter;
            request
        };
        let nothing = || Filter { models: vec!["no such model".into()], ..Filter::default() };
        let expected = $open.$method(request(Some($both.clone().unwrap_or_else(nothing)))).await;
        let found = $scoped.$method(request($filter.clone())).await;
        let found = text(&found.map(tonic::Response::into_inner));
        let expected = text(&expected.map(tonic::Response::into_inner));
        let method = stringify!($method);
        assert!(agree(&found, &expected), "{method}: {}\n{found}\n{expected}", $context);
    };
}

#[tokio::test]
async fn a_scoped_caller_gets_the_answers_of_a_world_that_has_its_own_requests_only() {
    let seed = rand::random();
    let mut random = Random::new(seed);
    let open = TestAnalytics::start().await;
    let events: Vec<UsageEvent> =
        (0..300).map(|_| UsageEvent { upstream_cost_usd: None, ..random.event() }).collect();
    open.store(events).await;
    let file = TokensFile::new();
    let scopes = [
        &["tag:team=x"][..],
        &["client:k1"],
        &["upstream:cloud"],
        &["model:a", "model:b"],
        &["tag:team=y", "model:a"],
        &["model:none such"],
    ];
    let scoped: Vec<(Scope, Token)> = scopes
        .iter()
        .map(|texts| {
            let scope = Scope::parse(*texts).unwrap();
            let token = file.add_scoped(&texts.join(" "), texts);
            (scope, token)
        })
        .collect();
    let guarded = guarded(&open, file.access()).await;
    let mut all = open.client().await;
    for (scope, token) in &scoped {
        let mut own = reader(&guarded, Some(token)).await;
        for _ in 0..8 {
            let filter = random.filter();
            let both = both(filter.clone(), scope);
            let (range, time_zone) = (Some(random.range()), random.zone());
            let context = format!("seed {seed}, scope {scope}, filter {filter:?}");
            let question = UsageSummaryRequest {
                range,
                time_zone: time_zone.clone(),
                compare_previous: true,
                ..Default::default()
            };
            same!(all, own, usage_summary, question, filter, both, context);
            let question = UsageTimeseriesRequest {
                range,
                time_zone: time_zone.clone(),
                bucket_seconds: random.bucket_seconds(),
                group_by: random.group_by(),
                top: random.top(),
                ..Default::default()
            };
            same!(all, own, usage_timeseries, question, filter, both, context);
            let question = ThroughputTimeseriesRequest {
                range,
                time_zone: time_zone.clone(),
                bucket_seconds: random.bucket_seconds(),
                group_by: random.group_by(),
                top: random.top(),
                ..Default::default()
            };
            same!(all, own, throughput_timeseries, question, filter, both, context);
            let question = ModelBreakdownRequest {
                range,
                time_zone,
                order: ModelOrder::Requests.into(),
                ..Default::default()
            };
            same!(all, own, model_breakdown, question, filter, both, context);
            let question = ErrorBreakdownRequest { range, ..Default::default() };
            same!(all, own, error_breakdown, question, filter, both, context);
            let question = RecentRequestsRequest {
                range,
                page: 1,
                page_size: random.page_size(),
                ..Default::default()
            };
            same!(all, own, recent_requests, question, filter, both, context);
        }
        let status = own.completeness(CompletenessRequest {}).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
}

#[tokio::test]
async fn a_scoped_subscriber_is_told_of_its_own_requests_only() {
    let open = TestAnalytics::start().await;
    let file = TokensFile::new();
    let token = file.add_scoped("x", &["tag:team=x"]);
    let mut access = file.access();
    let ingest = access.token_of_process("proxy", Role::Ingest);
    let guarded = guarded(&open, access).await;
    let request = SubscribeRequest::default();
    let mut changes =
        reader(&guarded, Some(&token)).await.subscribe(request).await.unwrap().into_inner();
    let (up, requests) = tokio::sync::mpsc::channel(16);
    let mut answers = proxy(&guarded, ingest.as_ref())
        .await
        .stream_usage(ReceiverStream::new(requests))
        .await
        .unwrap()
        .into_inner();
    let of =
        |team: &str| UsageEvent { tags: [("team".to_owned(), team.to_owned())].into(), ..event() };
    let say = async |message| {
        let message = modash_proto::v1::StreamUsageRequest { message: Some(message) };
        up.send(message).await.unwrap();
    };
    let hello = Hello { replica_id: "replica-1".into(), next_sequence: 1, ..Hello::default() };
    say(Up::Hello(hello)).await;
    let running = crate::subscribe::running(modash_proto::v1::RequestPhase::Waiting);
    let live = modash_proto::v1::LiveUpdate { snapshot: true, requests: vec![running], part: None };
    say(Up::Live(live)).await;
    for (first_sequence, team) in [(1, "y"), (2, "y"), (3, "x"), (4, "y")] {
        let batch = modash_proto::v1::EventBatch {
            first_sequence,
            events: vec![of(team)],
            ..Default::default()
        };
        say(Up::Batch(batch)).await;
        answers.message().await.unwrap();
    }
    let mut told = Vec::new();
    let collect = async {
        while let Some(message) = changes.message().await.unwrap() {
            match message.message.unwrap() {
                Message::Connected(connected) => assert!(connected.requests.is_empty()),
                Message::RequestStateUpdated(update) => panic!("{update:?}"),
                Message::UsageUpdated(update) => told.push(update.requests),
                Message::Missed(_) | Message::KeepAlive(_) => {}
            }
        }
    };
    // Several times the longest pause between two messages.
    let _ = tokio::time::timeout(Duration::from_secs(2), collect).await;
    assert_eq!(told, [1]);
}

#[tokio::test]
async fn an_event_that_names_another_replica_than_its_stream_goes_to_quarantine() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = crate::harness::TestProxy::connect(&analytics, "mine").await;
    let own = UsageEvent { replica_id: "mine".into(), ..event() };
    let forged = UsageEvent { replica_id: "another".into(), ..event() };
    let last = proxy.send(vec![own, forged.clone()]).await;
    let rejected = proxy.acknowledged(last).await;
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0].event_id, forged.event_id);
    assert_eq!(rejected[0].reason, "replica_id is not that of hello");
    assert_eq!(analytics.stored().await, 1);
}

/// The head of the answer to a grpc-web call of an empty message over HTTP/1.1.
async fn grpc_web(analytics: &TestAnalytics, path: &str, headers: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(analytics.address).await.unwrap();
    let head = format!(
        "POST /{path} HTTP/1.1\r\n{headers}Content-Type: application/grpc-web+proto\r\n\
         Content-Length: 5\r\nConnection: close\r\n\r\n\0\0\0\0\0"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).to_lowercase()
}

#[tokio::test]
async fn pages_ask_by_their_own_or_a_listed_origin_and_send_no_usage_events() {
    let analytics = TestAnalytics::start_with(|config| {
        config.cors_origins = "https://tools.example.com".parse().unwrap();
    })
    .await;
    let summary = "modash.v1.AnalyticsService/UsageSummary";
    let own = format!("Host: {0}\r\nOrigin: http://{0}\r\n", analytics.address);
    let listed = "Host: localhost\r\nOrigin: https://tools.example.com\r\n";
    let evil = "Host: localhost\r\nOrigin: https://evil.example\r\n";
    let rebound = "Host: evil.example:4007\r\nOrigin: http://evil.example:4007\r\n";
    for (headers, status) in [(own.as_str(), 200), (listed, 200), (evil, 403), (rebound, 403)] {
        let answer = grpc_web(&analytics, summary, headers).await;
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{headers}{answer}");
        let allowed = answer.contains("access-control-allow-origin: https://tools.example.com");
        assert_eq!(allowed, headers == listed, "{answer}");
    }
    let ingest = "modash.v1.IngestService/StreamUsage";
    let answer = grpc_web(&analytics, ingest, "Host: localhost\r\n").await;
    assert!(answer.contains("grpc-status: 12"), "{answer}");
}
