//! Limits that a user has set: how long an upstream may think, how long it may be
//! silent, and how many connections it gets.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use modash_proto::v1::Outcome;
use modash_test_support::{Answer, FakeUpstream, Gate, eventually};
use support::{PATIENCE, TestProxy, post, read_until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn an_upstream_that_does_not_begin_its_answer_in_time_gives_504() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json("{}").hold_head(&Gate::new()));
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.upstream_config.head_timeout = Some(Duration::from_millis(200));
    })
    .await;
    let response = proxy.exchange(&post("/v1/chat/completions", "{}")).await;
    assert!(response.starts_with("HTTP/1.1 504"), "{response}");
    assert!(response.contains(r#""type":"upstream_timeout""#), "{response}");
    assert!(response.contains("did not begin to answer within 0.2 s"), "{response}");
    let event = proxy.analytics.event().await;
    assert_eq!((event.outcome(), event.status), (Outcome::UpstreamTimeout, Some(504)));
}

#[tokio::test]
async fn the_time_of_a_slow_client_is_not_the_upstreams() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.upstream_config.head_timeout = Some(Duration::from_secs(2));
        config.upstream_config.stream_idle_timeout = Some(Duration::from_secs(2));
    })
    .await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\
                Content-Length: 4\r\n\r\n";
    let mut client = proxy.send(head).await;
    for piece in ["{", " ", " ", "}"] {
        tokio::time::sleep(Duration::from_millis(800)).await;
        client.write_all(piece.as_bytes()).await.unwrap();
    }
    let response = read_until(&mut client, "{}").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_cut_and_what_came_is_kept() {
    let upstream = FakeUpstream::start().await;
    let event = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\
                 \"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    upstream.answer(Answer::event_stream().chunk(event).wait(&Gate::new()));
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.upstream_config.stream_idle_timeout = Some(Duration::from_millis(300));
    })
    .await;
    let mut client = proxy.send(&post("/v1/chat/completions", r#"{"stream":true}"#)).await;
    let mut response = Vec::new();
    let _ = client.read_to_end(&mut response).await;
    let response = String::from_utf8(response).unwrap();
    assert!(response.contains(event), "{response}");
    assert!(!response.ends_with("0\r\n\r\n"), "it looks whole: {response}");
    let event = proxy.analytics.event().await;
    assert_eq!((event.outcome(), event.status), (Outcome::UpstreamTimeout, Some(200)));
    assert_eq!(event.error_type.as_deref(), Some("upstream_timeout"));
    assert_eq!((event.content_events, event.model.as_deref()), (1, Some("m")));
}

#[tokio::test]
async fn without_limits_an_upstream_may_think_as_long_as_it_likes() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.answer(Answer::json("{}").hold_head(&gate));
    let proxy = TestProxy::start(&upstream).await;
    let mut client = proxy.send(&post("/v1/chat/completions", "{}")).await;
    upstream.next_request().await;
    let early = tokio::time::timeout(Duration::from_millis(500), client.read_u8()).await;
    assert!(early.is_err());
    gate.open();
    let response = read_until(&mut client, "{}").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test]
async fn beyond_the_most_connections_a_request_waits_and_then_gets_503() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.answer(Answer::json("[1]").hold_head(&gate));
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.threads = 1;
        config.upstream_config.pool.connections = Some(1);
        config.upstream_config.pool.wait = Duration::from_millis(300);
    })
    .await;
    let mut first = proxy.send(&post("/v1/chat/completions", "{}")).await;
    upstream.next_request().await;
    let refused = proxy.exchange(&post("/v1/chat/completions", "{}")).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.to_lowercase().contains("retry-after: 1"), "{refused}");
    assert!(refused.contains(r#""type":"upstream_busy""#), "{refused}");
    gate.open();
    read_until(&mut first, "[1]").await;
    let events = proxy.analytics.events(2).await;
    let busy = events.iter().find(|event| event.status == Some(503)).unwrap();
    assert_eq!(busy.outcome(), Outcome::UpstreamUnreachable);
    assert_eq!(busy.error_type.as_deref(), Some("upstream_busy"));
    assert_eq!(upstream.requests().len(), 1);
    for name in ["upstream_waits", "upstream_busy", "upstream_connections"] {
        proxy.counted(name, 1).await;
    }
}

#[tokio::test]
async fn a_request_that_waits_gets_the_connection_that_becomes_free() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.answer(Answer::json("[1]").hold_head(&gate));
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.threads = 1;
        config.upstream_config.pool.connections = Some(1);
        config.upstream_config.pool.wait = PATIENCE;
    })
    .await;
    let mut first = proxy.send(&post("/v1/chat/completions", "{}")).await;
    upstream.next_request().await;
    let mut second = proxy.send(&post("/v1/chat/completions", "{}")).await;
    eventually(PATIENCE, || async {
        let waiting = proxy.analytics.live().len();
        if waiting >= 2 { Ok(()) } else { Err(format!("{waiting} requests run")) }
    })
    .await;
    assert_eq!(upstream.requests().len(), 1);
    gate.open();
    read_until(&mut first, "[1]").await;
    read_until(&mut second, "{}").await;
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn the_newest_connection_is_used_first_and_old_ones_not_at_all() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.threads = 1;
        config.upstream_config.pool.max_age = Duration::from_millis(500);
    })
    .await;
    let request = post("/v1/chat/completions", "{}");
    let gate = Gate::new();
    upstream.answer(Answer::json("{}").hold_head(&gate));
    let mut first = proxy.send(&request).await;
    upstream.next_request().await;
    let mut second = proxy.send(&request).await;
    assert_eq!(upstream.next_request().await.connection, 2);
    read_until(&mut second, "{}").await;
    gate.open();
    read_until(&mut first, "{}").await;
    // The first connection was given back last.
    proxy.exchange(&request).await;
    let used = upstream.next_request().await.connection;
    assert!(used == 1 || used == 3, "{used}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    proxy.exchange(&request).await;
    assert!(upstream.next_request().await.connection > 2);
}
