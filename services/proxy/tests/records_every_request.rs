//! Every finished request becomes one usage event, however it ended.

mod support;

use modash_proto::v1::{Operation, Outcome, RequestPhase, UsageEvent, UsageSource};
use modash_test_support::{Answer, FakeUpstream, Gate, eventually};
use prost::Message as _;
use support::{FakeAnalytics, PATIENCE, TestProxy, config, post, read_until};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

const CHAT: &str = "/v1/chat/completions";
const PLAIN: &str = r#"{"id":"c-1","model":"m-2026","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
const CONTENT: &str = "data: {\"id\":\"c-1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const FINISH: &str = "data: {\"id\":\"c-1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c-1\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ASK_STREAM: &str = r#"{"model":"m","stream":true}"#;

/// So many events by their start: cores hand over on their own.
async fn in_order(proxy: &TestProxy, count: usize) -> Vec<UsageEvent> {
    let mut events = proxy.analytics.events(count).await;
    events.sort_by_key(|event| event.started_at.map(|at| (at.seconds, at.nanos)));
    events
}

#[tokio::test]
async fn a_plain_answer_is_recorded_with_its_counts() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    upstream.answer(Answer::json(PLAIN));
    proxy
        .exchange(
            &post(CHAT, r#"{"model":"m"}"#).replace("Host", "authorization: Bearer k\r\nHost"),
        )
        .await;
    let event = proxy.analytics.event().await;
    assert_eq!(event.known_outcome(), Outcome::Ok);
    assert_eq!(event.known_usage_source(), UsageSource::Upstream);
    assert_eq!((event.prompt_tokens, event.completion_tokens), (Some(7), Some(2)));
    assert_eq!(event.model_requested.as_deref(), Some("m"));
    assert_eq!(event.model.as_deref(), Some("m-2026"));
    assert_eq!(event.status, Some(200));
    assert_eq!(event.response_bytes, PLAIN.len() as u64);
    assert_eq!(event.client_key.as_ref().map(String::len), Some(16));
    assert!(event.duration.is_some() && event.upstream_head.is_some() && event.connect.is_some());
    assert_eq!(event.check(), Ok(()));
}

#[tokio::test]
async fn a_stream_is_recorded_with_its_first_token_and_shown_while_it_runs() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let more = Gate::new();
    upstream.answer(
        Answer::event_stream().chunk(CONTENT).wait(&more).chunk(FINISH).chunk(USAGE).chunk(DONE),
    );
    let mut client = proxy.send(&post(CHAT, ASK_STREAM)).await;
    eventually(PATIENCE, || async {
        let streaming = RequestPhase::Streaming as i32;
        proxy
            .analytics
            .live()
            .iter()
            .any(|live| live.phase == streaming && live.content_events == 1)
    })
    .await;
    more.open();
    read_until(&mut client, "0\r\n\r\n").await;
    let event = proxy.analytics.event().await;
    assert_eq!(event.known_outcome(), Outcome::Ok);
    assert_eq!((event.prompt_tokens, event.content_events), (Some(7), 1));
    assert!(event.stream && event.first_token.is_some());
    eventually(PATIENCE, || async {
        let ended = RequestPhase::Ended as i32;
        proxy.analytics.live().iter().any(|live| live.phase == ended)
    })
    .await;
}

#[tokio::test]
async fn who_leaves_in_the_middle_is_recorded_as_client_closed() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    upstream.answer(Answer::event_stream().chunk(CONTENT).wait(&Gate::new()));
    let mut client = proxy.send(&post(CHAT, ASK_STREAM)).await;
    read_until(&mut client, "\n\n\r\n").await;
    drop(client);
    let event = proxy.analytics.event().await;
    assert_eq!(event.known_outcome(), Outcome::ClientClosed);
    assert_eq!((event.content_events, event.status), (1, Some(200)));
}

#[tokio::test]
async fn who_leaves_after_the_terminal_event_had_everything() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let stream = [CONTENT, FINISH, USAGE, DONE].concat();
    upstream.answer(Answer::event_stream().chunk(stream).wait(&Gate::new()));
    let mut client = proxy.send(&post(CHAT, ASK_STREAM)).await;
    read_until(&mut client, "[DONE]\n\n\r\n").await;
    drop(client);
    let event = proxy.analytics.event().await;
    assert_eq!(event.known_outcome(), Outcome::Ok);
    assert_eq!(event.completion_tokens, Some(2));
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_recorded_as_truncated() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    upstream.answer(Answer::event_stream().chunk(CONTENT).break_off());
    let response = proxy.exchange(&post(CHAT, ASK_STREAM)).await;
    assert!(!response.ends_with("0\r\n\r\n"), "the client must see the break: {response:?}");
    let event = proxy.analytics.event().await;
    assert_eq!(event.known_outcome(), Outcome::Truncated);
}

#[tokio::test]
async fn errors_are_recorded_by_kind() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    upstream.answer(
        Answer::new(429)
            .header("content-type", "application/json")
            .chunk(r#"{"error":{"type":"rate_limit_exceeded","message":"slow down"}}"#),
    );
    proxy.exchange(&post(CHAT, "{}")).await;
    upstream
        .answer(Answer::event_stream().chunk("data: {\"error\":{\"type\":\"overloaded\"}}\n\n"));
    proxy.exchange(&post(CHAT, ASK_STREAM)).await;
    upstream.answer(Answer::hang_up());
    proxy.exchange(&post(CHAT, "{}")).await;
    let events = in_order(&proxy, 3).await;
    let found: Vec<_> = events
        .iter()
        .map(|event| (event.known_outcome(), event.error_type.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        found,
        [
            (Outcome::HttpError, "rate_limit_exceeded"),
            (Outcome::StreamError, "overloaded"),
            (Outcome::UpstreamUnreachable, "upstream_unreachable"),
        ]
    );
}

#[tokio::test]
async fn events_wait_for_an_analytics_that_is_away() {
    let upstream = FakeUpstream::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let proxy = TestProxy::start_with(|proxy| {
        *proxy = config(address);
        proxy.upstream = Some(upstream.url().parse().unwrap());
    })
    .await;
    upstream.answer_always(Answer::json(PLAIN));
    for _ in 0..10 {
        let response = proxy.exchange(&post(CHAT, "{}")).await;
        assert!(response.ends_with(PLAIN), "{response}");
    }
    let analytics = FakeAnalytics::default();
    analytics.serve(TcpListener::bind(address).await.unwrap());
    let events = analytics.events(10).await;
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| &event.event_id).collect();
    assert_eq!(ids.len(), 10);
    assert_eq!(analytics.hellos()[0].next_sequence, 1);
}

#[tokio::test]
async fn a_stop_lets_running_requests_end_and_hands_over_their_events() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let more = Gate::new();
    upstream.answer(Answer::event_stream().chunk(CONTENT).wait(&more).chunk(FINISH).chunk(DONE));
    let mut client = proxy.send(&post(CHAT, ASK_STREAM)).await;
    read_until(&mut client, "\n\n\r\n").await;
    proxy.context.shutdown.request();
    eventually(PATIENCE, || async { tokio::net::TcpStream::connect(proxy.address).await.is_err() })
        .await;
    more.open();
    read_until(&mut client, "0\r\n\r\n").await;
    proxy.running.await.unwrap().unwrap();
    assert_eq!(proxy.analytics.event().await.known_outcome(), Outcome::Ok);
}

#[tokio::test]
async fn only_calls_consume_and_a_background_response_is_to_be_booked_once() {
    const QUEUED: &str =
        r#"{"id":"resp_1","model":"m","background":true,"status":"queued","usage":null}"#;
    const COMPLETED: &str = r#"{"id":"resp_1","model":"m","background":true,"status":"completed","usage":{"input_tokens":7,"output_tokens":2,"total_tokens":9}}"#;
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let bare = |method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    };
    let cases = [
        (post("/v1/responses", r#"{"model":"m","background":true}"#), Answer::json(QUEUED)),
        (bare("GET", "/v1/responses/resp_1"), Answer::json(QUEUED)),
        (bare("GET", "/v1/responses/resp_1"), Answer::json(COMPLETED)),
        (bare("OPTIONS", CHAT), Answer::new(204)),
        (bare("DELETE", "/v1/responses/resp_1"), Answer::json(r#"{"deleted":true}"#)),
    ];
    for (request, answer) in cases {
        upstream.answer(answer);
        proxy.exchange(&request).await;
    }
    let events = in_order(&proxy, 5).await;
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.known_operation(), event.known_usage_source(), event.book_once))
        .collect();
    let (none, retrieval) = (UsageSource::NotDue, Operation::Retrieval);
    assert_eq!(
        seen,
        [
            (Operation::Chat, none, false),
            (retrieval, none, false),
            (retrieval, UsageSource::Upstream, true),
            (Operation::Other, none, false),
            (retrieval, none, false),
        ]
    );
    assert_eq!(events[2].total_tokens, Some(9));
    assert!(events.iter().all(|event| event.known_outcome() == Outcome::Ok));
}

#[tokio::test]
async fn a_session_is_named_by_a_header_or_else_by_the_body() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let body = r#"{"model":"m","metadata":{"user_id":"{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"s-1\"}"}}"#;
    upstream.answer(Answer::json(PLAIN));
    proxy.exchange(&post(CHAT, body)).await;
    upstream.answer(Answer::json(PLAIN));
    proxy.exchange(&post(CHAT, body).replace("Host", "session-id: s-2\r\nHost")).await;
    let events = in_order(&proxy, 2).await;
    let sessions: Vec<_> = events.iter().map(|event| event.session.as_deref()).collect();
    assert_eq!(sessions, [Some("s-1"), Some("s-2")]);
    assert!(events.iter().all(|event| event.user.as_deref() == Some("d")));
}

#[tokio::test]
async fn a_request_that_cannot_be_forwarded_says_what_it_asked_for() {
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{down}").parse().unwrap());
    })
    .await;
    let padding = " ".repeat(300_000);
    let body = format!(r#"{{"messages":[],{padding}"model":"m","user":"u","stream":true}}"#);
    let request = post(CHAT, &body);
    let (first, second) = request.split_at(request.len() / 2);
    let mut client = proxy.send(first).await;
    // The rest comes later than the failure.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    client.write_all(second.as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    let event = proxy.analytics.event().await;
    assert_eq!(event.outcome(), Outcome::UpstreamUnreachable);
    assert_eq!(event.model_requested.as_deref(), Some("m"));
    assert_eq!((event.user.as_deref(), event.stream), (Some("u"), true));
    assert_eq!(event.request_bytes, body.len() as u64);
}

#[tokio::test]
async fn an_event_that_analytics_refuses_holds_up_no_other() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json(PLAIN));
    let proxy = TestProxy::start(&upstream).await;
    proxy.analytics.refuse("/v1/refused");
    for number in 0..30 {
        let path = if number == 11 { "/v1/refused" } else { CHAT };
        proxy.exchange(&post(path, r#"{"model":"m"}"#)).await;
    }
    let events = proxy.analytics.events(29).await;
    assert!(events.iter().all(|event| event.path == CHAT));
    let quarantine = proxy.analytics.quarantine();
    let [(stand_in, refusal)] = &quarantine[..] else { panic!("{quarantine:?}") };
    assert!(refusal.reason.ends_with(": an event is refused"), "{}", refusal.reason);
    let refused = UsageEvent::decode(refusal.event.as_slice()).unwrap();
    assert_eq!((refused.path.as_str(), &refused.event_id), ("/v1/refused", &stand_in.event_id));
    eventually(PATIENCE, || async {
        let mut counts = Vec::new();
        for name in ["events_rejected", "events_acknowledged", "events_dropped"] {
            counts.push(proxy.counter(name).await);
        }
        if counts == [1, 30, 0] { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
}

#[tokio::test]
async fn odd_characters_of_a_request_are_replaced_in_its_event() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    upstream.answer(Answer::json(PLAIN.replace("c-1", r"c\u0000\u001b1")));
    proxy.exchange(&post(CHAT, r#"{"model":"m\u0000","user":"a\u0000b\u0085"}"#)).await;
    let event = proxy.analytics.event().await;
    assert_eq!(event.model_requested.as_deref(), Some("m\u{fffd}"));
    assert_eq!(event.user.as_deref(), Some("a\u{fffd}b\u{fffd}"));
    assert_eq!(event.response_id.as_deref(), Some("c\u{fffd}\u{fffd}1"));
    assert_eq!(event.check(), Ok(()));
}
