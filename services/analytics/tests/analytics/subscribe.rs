//! Subscribe: what is told, in which order, to whom, and for how long.

use modash_proto::v1::{
    Connected, Exclusion, Filter, LiveRequest, LiveUpdate, Outcome, RequestPhase, SnapshotPart,
    SubscribeRequest, SubscribeResponse, Topic, UsageEvent, UsageSummaryRequest,
    stream_usage_request::Message as Up, subscribe_response::Message,
};
use modash_test_support::{event, event_at, eventually};
use tonic::{Code, Streaming, transport::Channel};

use crate::harness::{PATIENCE, TestAnalytics, TestProxy, violated};

/// A reader of a subscription.
pub(crate) struct Reader(Streaming<SubscribeResponse>);

impl Reader {
    pub(crate) async fn open(analytics: &TestAnalytics, request: SubscribeRequest) -> Self {
        Self(analytics.client().await.subscribe(request).await.unwrap().into_inner())
    }

    pub(crate) async fn next(&mut self) -> Message {
        let message = tokio::time::timeout(PATIENCE, self.0.message()).await.unwrap().unwrap();
        message.expect("the stream ended").message.unwrap()
    }

    pub(crate) async fn connected(&mut self) -> Connected {
        match self.next().await {
            Message::Connected(connected) => connected,
            other => panic!("not connected: {other:?}"),
        }
    }

    /// Requests of the updates until one has the phase.
    pub(crate) async fn until(&mut self, phase: RequestPhase) -> LiveRequest {
        loop {
            if let Message::RequestStateUpdated(update) = self.next().await
                && let Some(found) =
                    update.requests.into_iter().find(|request| request.phase() == phase)
            {
                return found;
            }
        }
    }

    /// The next number of committed requests.
    async fn committed(&mut self) -> u64 {
        loop {
            if let Message::UsageUpdated(update) = self.next().await {
                return update.requests;
            }
        }
    }
}

pub(crate) fn running(phase: RequestPhase) -> LiveRequest {
    let UsageEvent { event_id, started_at, .. } = event_at(1_764_000_000_000_000);
    LiveRequest {
        event_id,
        replica_id: "a".into(),
        started_at,
        phase: phase.into(),
        upstream: "default".into(),
        dialect: "openai-chat".into(),
        operation: 1,
        model: Some("qwen3-8b".into()),
        stream: true,
        ..LiveRequest::default()
    }
}

pub(crate) async fn in_flight(analytics: &TestAnalytics) -> u64 {
    let answer = analytics.client().await.usage_summary(UsageSummaryRequest::default()).await;
    answer.unwrap().into_inner().in_flight_requests
}

/// A proxy with one running request that is known.
pub(crate) async fn proxy_with(analytics: &TestAnalytics, request: &LiveRequest) -> TestProxy {
    let proxy = TestProxy::connect(analytics, "a").await;
    proxy.report(true, vec![request.clone()]).await;
    eventually(PATIENCE, || async { in_flight(analytics).await == 1 }).await;
    proxy
}

#[tokio::test]
async fn the_first_message_has_what_runs() {
    let analytics = TestAnalytics::start().await;
    let request = running(RequestPhase::Waiting);
    let _proxy = proxy_with(&analytics, &request).await;
    let connected = Reader::open(&analytics, SubscribeRequest::default()).await.connected().await;
    assert_eq!(connected.requests, [request]);
    assert!(connected.now.is_some() && !connected.version.is_empty());
}

#[tokio::test]
async fn changes_follow_and_a_commit_ends_a_request_and_is_told() {
    let analytics = TestAnalytics::start().await;
    let mut reader = Reader::open(&analytics, SubscribeRequest::default()).await;
    assert!(reader.connected().await.requests.is_empty());
    let request = running(RequestPhase::Waiting);
    let mut proxy = proxy_with(&analytics, &request).await;
    assert_eq!(reader.until(RequestPhase::Waiting).await, request);
    let streaming =
        LiveRequest { phase: RequestPhase::Streaming.into(), content_events: 3, ..request.clone() };
    proxy.report(false, vec![streaming.clone()]).await;
    assert_eq!(reader.until(RequestPhase::Streaming).await, streaming);
    let finished = UsageEvent {
        event_id: request.event_id.clone(),
        started_at: request.started_at,
        outcome: Outcome::Truncated.into(),
        ..event()
    };
    let last = proxy.send(vec![finished]).await;
    proxy.acknowledged(last).await;
    let ended = reader.until(RequestPhase::Ended).await;
    assert_eq!((ended.event_id, ended.outcome), (request.event_id.clone(), 5));
    assert_eq!(reader.committed().await, 1);
    // A late report does not bring it back.
    proxy.report(true, vec![request]).await;
    proxy.report(false, vec![running(RequestPhase::Connecting)]).await;
    reader.until(RequestPhase::Connecting).await;
    assert_eq!(in_flight(&analytics).await, 1);
}

#[tokio::test]
async fn a_request_ends_when_its_proxy_says_so_or_no_longer_names_it() {
    let analytics = TestAnalytics::start().await;
    let mut reader = Reader::open(&analytics, SubscribeRequest::default()).await;
    let (one, other) = (running(RequestPhase::Waiting), running(RequestPhase::Waiting));
    let proxy = TestProxy::connect(&analytics, "a").await;
    proxy.report(true, vec![one.clone(), other.clone()]).await;
    reader.until(RequestPhase::Waiting).await;
    let ended = LiveRequest {
        phase: RequestPhase::Ended.into(),
        outcome: Outcome::Ok.into(),
        ..one.clone()
    };
    proxy.report(false, vec![ended.clone()]).await;
    assert_eq!(reader.until(RequestPhase::Ended).await, ended);
    proxy.report(true, vec![]).await;
    let gone = reader.until(RequestPhase::Ended).await;
    assert_eq!((gone.event_id, gone.outcome), (other.event_id, 0));
    assert_eq!(in_flight(&analytics).await, 0);
}

#[tokio::test]
async fn two_processes_with_one_replica_id_do_not_end_each_others_requests() {
    let analytics = TestAnalytics::start().await;
    let mut reader = Reader::open(&analytics, SubscribeRequest::default()).await;
    let (of_old, of_new) = (running(RequestPhase::Streaming), running(RequestPhase::Waiting));
    let old = proxy_with(&analytics, &of_old).await;
    let new = TestProxy::connect(&analytics, "a").await;
    new.report(true, vec![of_new.clone()]).await;
    assert_eq!(reader.until(RequestPhase::Waiting).await, of_new);
    old.report(true, vec![of_old.clone()]).await;
    // Told after the snapshots.
    new.report(false, vec![running(RequestPhase::Connecting)]).await;
    old.report(false, vec![running(RequestPhase::Connecting)]).await;
    reader.until(RequestPhase::Connecting).await;
    eventually(PATIENCE, || async { in_flight(&analytics).await == 4 }).await;
    old.report(true, vec![]).await;
    eventually(PATIENCE, || async { in_flight(&analytics).await == 2 }).await;
}

#[tokio::test]
async fn a_snapshot_in_parts_ends_requests_only_when_it_is_complete() {
    let analytics = TestAnalytics::start().await;
    let requests: Vec<_> = (0..12_000).map(|_| running(RequestPhase::Waiting)).collect();
    let proxy = TestProxy::connect(&analytics, "a").await;
    let part = |index: u32, last: bool, requests: &[LiveRequest]| {
        let part = Some(SnapshotPart { index, last });
        Up::Live(LiveUpdate { snapshot: false, requests: requests.to_vec(), part })
    };
    let counts = async |count: u64| {
        eventually(PATIENCE, || async { in_flight(&analytics).await == count }).await;
    };
    proxy.say(part(0, false, &requests[..6_000])).await;
    proxy.say(part(1, true, &requests[6_000..])).await;
    counts(12_000).await;
    // The second part of the next snapshot is lost.
    proxy.say(part(0, false, &requests[..100])).await;
    proxy.say(part(2, true, &requests[200..300])).await;
    proxy.report(false, vec![running(RequestPhase::Waiting)]).await;
    counts(12_001).await;
    proxy.say(part(0, false, &requests[..100])).await;
    proxy.say(part(1, true, &requests[100..200])).await;
    counts(200).await;
}

#[tokio::test]
async fn a_list_of_running_requests_that_is_cut_says_so() {
    let analytics = TestAnalytics::start().await;
    let proxy = TestProxy::connect(&analytics, "a").await;
    for _ in 0..4 {
        let requests = (0..2_000)
            .map(|_| LiveRequest { path: "x".repeat(500), ..running(RequestPhase::Waiting) });
        proxy.report(false, requests.collect()).await;
    }
    eventually(PATIENCE, || async { in_flight(&analytics).await == 8_000 }).await;
    let connected = Reader::open(&analytics, SubscribeRequest::default()).await.connected().await;
    assert!(connected.truncated && connected.requests.len() < 8_000);
}

#[tokio::test]
async fn readers_of_one_filter_are_told_the_same() {
    let analytics = TestAnalytics::start().await;
    let usage = || SubscribeRequest { topics: vec![Topic::Usage.into()], filter: None };
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut reader = Reader::open(&analytics, usage()).await;
        reader.connected().await;
        readers.push(reader);
    }
    analytics.store((0..50).map(|_| event()).collect()).await;
    for reader in &mut readers {
        let mut committed = 0;
        while committed < 50 {
            committed += reader.committed().await;
        }
        assert_eq!(committed, 50);
    }
}

#[tokio::test]
async fn a_repeated_batch_is_not_told_again() {
    let analytics = TestAnalytics::start().await;
    let mut reader = Reader::open(&analytics, SubscribeRequest::default()).await;
    let repeated = event();
    analytics.store(vec![repeated.clone()]).await;
    assert_eq!(reader.committed().await, 1);
    analytics.store(vec![repeated, event(), event()]).await;
    assert_eq!(reader.committed().await, 2);
}

#[tokio::test]
async fn topics_and_filter_are_honoured() {
    let analytics = TestAnalytics::start().await;
    let filter = Filter { models: vec!["wanted".into()], ..Filter::default() };
    let usage = |filter| SubscribeRequest { filter, topics: vec![Topic::Usage.into()] };
    let mut reader = Reader::open(&analytics, usage(Some(filter))).await;
    let mut all = Reader::open(&analytics, usage(None)).await;
    let proxy = proxy_with(&analytics, &running(RequestPhase::Waiting)).await;
    assert!(reader.connected().await.requests.is_empty(), "running requests are another topic");
    all.connected().await;
    let wanted = UsageEvent { model: Some("wanted".into()), ..event() };
    analytics.store(vec![event(), event(), wanted]).await;
    assert!(matches!(reader.next().await, Message::UsageUpdated(update) if update.requests == 1));
    assert!(matches!(all.next().await, Message::UsageUpdated(update) if update.requests == 3));
    drop(proxy);
}

#[tokio::test]
async fn what_is_excluded_is_not_told_and_an_excluded_end_is_one_without_outcome() {
    let analytics = TestAnalytics::start().await;
    let reader = async |exclude| {
        let filter = Filter { exclude: Some(exclude), ..Filter::default() };
        let request = SubscribeRequest { filter: Some(filter), topics: vec![] };
        Reader::open(&analytics, request).await
    };
    let by_model = Exclusion { models: vec!["wanted".into()], ..Exclusion::default() };
    let mut others = reader(by_model).await;
    let truncated = vec![Outcome::Truncated.into()];
    let by_outcome = Exclusion { outcomes: truncated.clone(), ..Exclusion::default() };
    let mut whole = reader(by_outcome).await;
    let request = LiveRequest { model: Some("wanted".into()), ..running(RequestPhase::Waiting) };
    let mut proxy = proxy_with(&analytics, &request).await;
    assert_eq!(whole.until(RequestPhase::Waiting).await, request);
    let finished = UsageEvent {
        event_id: request.event_id.clone(),
        started_at: request.started_at,
        model: request.model.clone(),
        outcome: truncated[0],
        ..event()
    };
    proxy.send(vec![finished]).await;
    let last = whole.until(RequestPhase::Ended).await;
    assert_eq!((last.outcome(), &last.event_id), (Outcome::Unspecified, &request.event_id));
    assert!(others.connected().await.requests.is_empty());
    analytics.store(vec![event()]).await;
    assert_eq!(others.committed().await, 1, "the excluded request was told");
    assert_eq!(whole.committed().await, 1, "the excluded request was told");
}

#[tokio::test]
async fn a_reader_of_one_trace_learns_of_its_commits_only() {
    let analytics = TestAnalytics::start().await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let filter = Filter { trace_ids: vec![trace_id.to_uppercase()], ..Filter::default() };
    let request = SubscribeRequest { filter: Some(filter), topics: vec![] };
    let mut reader = Reader::open(&analytics, request).await;
    let other = UsageEvent { trace_id: Some("1".repeat(32)), ..event() };
    let wanted = UsageEvent { trace_id: Some(trace_id.into()), ..event() };
    analytics.store(vec![event(), other]).await;
    analytics.store(vec![wanted]).await;
    assert_eq!(reader.committed().await, 1);
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed_and_how_things_are() {
    let analytics = TestAnalytics::start().await;
    // A small window: the network takes little from the server's hands.
    let channel = Channel::from_shared(format!("http://{}", analytics.address))
        .unwrap()
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535)
        .connect()
        .await
        .unwrap();
    let mut client =
        modash_proto::v1::analytics_service_client::AnalyticsServiceClient::new(channel);
    let stream = client.subscribe(SubscribeRequest::default()).await.unwrap().into_inner();
    let mut reader = Reader(stream);
    reader.connected().await;
    let mut fast = Reader::open(&analytics, SubscribeRequest::default()).await;
    fast.connected().await;
    let proxy = TestProxy::connect(&analytics, "a").await;
    let requests: Vec<_> = (0..200)
        .map(|_| LiveRequest { path: "x".repeat(3000), ..running(RequestPhase::Waiting) })
        .collect();
    for progress in 1..=20 {
        let changed = requests.iter().map(|request| LiveRequest {
            content_events: progress,
            phase: RequestPhase::Streaming.into(),
            ..request.clone()
        });
        proxy.report(false, changed.collect()).await;
        while fast.until(RequestPhase::Streaming).await.content_events < progress {}
    }
    let missed = loop {
        match reader.next().await {
            Message::Missed(missed) => break missed.messages,
            Message::RequestStateUpdated(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(missed >= 1);
    let connected = reader.connected().await;
    assert_eq!(connected.requests.len(), 200);
    assert!(connected.requests.iter().all(|request| request.content_events == 20));
}

#[tokio::test]
async fn a_reader_that_leaves_frees_its_place() {
    let analytics = TestAnalytics::start().await;
    let open = || analytics.metric("modash_analytics_subscribers");
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = Reader::open(&analytics, SubscribeRequest::default()).await;
        reader.connected().await;
        readers.push(reader);
    }
    assert_eq!(open() as i64, 3);
    drop(readers);
    eventually(PATIENCE, || async { open() as i64 == 0 }).await;
}

#[tokio::test]
async fn a_subscription_ends_with_its_deadline() {
    let analytics = TestAnalytics::start().await;
    let mut request = tonic::Request::new(SubscribeRequest::default());
    request.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
    let mut stream =
        analytics.client_without_timers().subscribe(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(stream.message().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn bad_arguments_are_named() {
    let analytics = TestAnalytics::start().await;
    let request = SubscribeRequest {
        topics: vec![77],
        filter: Some(Filter { users: vec!["\0".into()], ..Filter::default() }),
    };
    let status = analytics.client().await.subscribe(request).await.unwrap_err();
    assert_eq!(violated(&status), ["filter.users", "topics"]);
}
