//! `inject` mode: the upstream is asked for usage, and the client gets the bytes
//! that it would have got without.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use modash_proto::v1::{Outcome, UsageSource};
use modash_proxy::StreamUsage;
use modash_test_support::{Answer, FakeUpstream, Gate};
use support::{TestProxy, post, read_until};

const CHAT: &str = "/v1/chat/completions";
const STREAM: &str = r#"{"model":"m","stream":true}"#;
const CONTENT: &str =
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const FINISH: &str =
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

async fn proxy(upstream: &FakeUpstream) -> TestProxy {
    TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.stream_usage = StreamUsage::Inject;
    })
    .await
}

/// The body of a chunked response, put together.
fn body(response: &str) -> String {
    let (head, mut rest) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return body;
        }
        body.push_str(&after[..length]);
        rest = &after[length + 2..];
    }
}

#[tokio::test]
async fn the_added_chunk_is_recorded_and_hidden_from_the_client() {
    let upstream = FakeUpstream::start().await;
    let proxy = proxy(&upstream).await;
    upstream.answer(Answer::event_stream().chunk(CONTENT).chunk(FINISH).chunk(USAGE).chunk(DONE));
    let response = proxy.exchange(&post(CHAT, STREAM)).await;
    assert_eq!(body(&response), [CONTENT, FINISH, DONE].concat());
    let asked = upstream.next_request().await;
    assert_eq!(asked.headers["accept-encoding"], "identity");
    let asked = String::from_utf8(asked.body().await.unwrap().to_vec()).unwrap();
    assert!(asked.contains(r#""include_usage":true"#), "{asked}");
    let event = proxy.analytics.event().await;
    assert_eq!(event.known_outcome(), Outcome::Ok);
    assert_eq!(event.known_usage_source(), UsageSource::Upstream);
    assert_eq!((event.prompt_tokens, event.completion_tokens), (Some(7), Some(2)));
    assert_eq!(event.request_bytes, STREAM.len() as u64);
    assert_eq!(event.response_bytes, [CONTENT, FINISH, DONE].concat().len() as u64);
}

#[tokio::test]
async fn a_server_that_refuses_is_asked_as_the_client_did_and_not_again() {
    let upstream = FakeUpstream::start().await;
    let proxy = proxy(&upstream).await;
    upstream.answer(Answer::new(422).chunk(r#"{"detail":[{"type":"extra_forbidden"}]}"#));
    upstream.answer_always(Answer::event_stream().chunk(CONTENT).chunk(FINISH).chunk(DONE));
    for _ in 0..2 {
        let response = proxy.exchange(&post(CHAT, STREAM)).await;
        assert_eq!(body(&response), [CONTENT, FINISH, DONE].concat());
    }
    let mut bodies = Vec::new();
    for request in upstream.requests() {
        bodies.push(String::from_utf8(request.body().await.unwrap().to_vec()).unwrap());
    }
    assert_eq!(bodies.len(), 3, "{bodies:?}");
    assert!(bodies[0].contains("include_usage"));
    assert_eq!(bodies[1..], [STREAM, STREAM]);
    let events = proxy.analytics.events(2).await;
    assert!(events.iter().all(|event| event.known_outcome() == Outcome::Ok));
}

#[tokio::test]
async fn what_was_refused_goes_again_at_once_where_a_connection_is_idle() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.stream_usage = StreamUsage::Inject;
        config.threads = 1;
    })
    .await;
    let both_asked = Gate::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        upstream.answer(Answer::json("{}").hold_head(&both_asked));
        clients.push(proxy.send("GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n").await);
        upstream.next_request().await;
    }
    both_asked.open();
    for client in &mut clients {
        read_until(client, "{}").await;
    }
    upstream.answer(Answer::new(422).chunk(r#"{"detail":[{"type":"extra_forbidden"}]}"#));
    upstream.answer(Answer::event_stream().chunk(CONTENT).chunk(FINISH).chunk(DONE));
    let mut client = proxy.send(&post(CHAT, STREAM)).await;
    let response = read_until(&mut client, "0\r\n\r\n").await;
    assert_eq!(body(&response), [CONTENT, FINISH, DONE].concat());
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn requests_that_are_not_to_be_changed_arrive_as_they_were_sent() {
    let upstream = FakeUpstream::start().await;
    let proxy = proxy(&upstream).await;
    let large = format!(r#"{{"stream":true,"prompt":"{}"}}"#, "x".repeat(9 << 20));
    let untouched = [
        r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
        r#"{"stream":false}"#,
        r#"{"stream":true"#,
        "",
        large.as_str(),
    ];
    for request in untouched {
        proxy.exchange(&post(CHAT, request)).await;
        let arrived = upstream.next_request().await.body().await.unwrap();
        assert!(arrived == request.as_bytes(), "{} bytes changed", request.len());
    }
    proxy.exchange(&post("/v1/messages", STREAM)).await;
    assert_eq!(upstream.next_request().await.body().await.unwrap(), STREAM);
}
