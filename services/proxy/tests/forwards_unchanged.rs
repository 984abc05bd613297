//! What goes through the proxy comes out as it went in.

mod support;

use std::time::Duration;

use modash_test_support::{Answer, FakeUpstream, Gate};
use support::{PATIENCE, TestProxy, post, read_until};
use tokio::net::TcpListener;

#[tokio::test]
async fn the_upstream_gets_the_request_as_it_was_sent() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let body = r#"{"model":"m","messages":[]}"#;
    proxy
        .exchange(&format!(
            "POST /v1/chat/completions?a=%2F&b=c+d HTTP/1.1\r\nHost: here\r\nconnection: close, x-hop\r\n\
             x-hop: 1\r\nAuthorization: Bearer sk-1\r\naccept-encoding: br, gzip\r\nX-Twice: 1\r\n\
             X-Twice: 2\r\nContent-LENGTH: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let request = upstream.next_request().await;
    assert_eq!(request.target, "/v1/chat/completions?a=%2F&b=c+d");
    assert_eq!(request.body().await.unwrap(), body);
    let head = format!(
        "POST /v1/chat/completions?a=%2F&b=c+d HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer sk-1\r\n\
         accept-encoding: br, gzip\r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-LENGTH: {}\r\n\r\n",
        upstream.address(),
        body.len()
    );
    assert_eq!(String::from_utf8_lossy(&request.raw_head), head);
}

#[tokio::test]
async fn the_client_gets_the_response_as_it_was_sent() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    upstream.answer(
        Answer::new(418)
            .header("x-one", "1")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("content-encoding", "br")
            .header("content-length", "9")
            .chunk("not brotli".get(..9).unwrap()),
    );
    let response = proxy.exchange(&post("/anything", "")).await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 418 I'm a teapot");
    lines.retain(|line| !line.starts_with("date:") && *line != "connection: close");
    assert_eq!(
        lines,
        [
            "x-one: 1",
            "set-cookie: a=1",
            "set-cookie: b=2",
            "content-encoding: br",
            "content-length: 9"
        ]
    );
    assert_eq!(body, "not brotl");
}

#[tokio::test]
async fn each_event_is_forwarded_without_waiting_for_the_next() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let (second, third) = (Gate::new(), Gate::new());
    upstream.answer(
        Answer::event_stream()
            .chunk("data: 1\n\n")
            .wait(&second)
            .chunk("data: 2\n\n")
            .wait(&third)
            .chunk("data: [DONE]\n\n"),
    );
    let mut client = proxy.send(&post("/v1/chat/completions", r#"{"stream":true}"#)).await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    second.open();
    read_until(&mut client, "data: 2\n\n\r\n").await;
    third.open();
    read_until(&mut client, "data: [DONE]\n\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn invalid_json_passes_untouched_both_ways() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    upstream.answer(Answer::json(r#"{"usage":{"prompt_tokens":"#));
    let response = proxy.exchange(&post("/v1/chat/completions", r#"{"model":"#)).await;
    assert!(response.ends_with(r#"{"usage":{"prompt_tokens":"#), "{response}");
    assert_eq!(upstream.next_request().await.body().await.unwrap(), r#"{"model":"#);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream_request() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let never = Gate::new();
    upstream.answer(Answer::event_stream().chunk("data: 1\n\n").wait(&never));
    let mut client = proxy.send(&post("/v1/chat/completions", r#"{"stream":true}"#)).await;
    let request = upstream.next_request().await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    drop(client);
    tokio::time::timeout(PATIENCE, request.cancelled()).await.expect("it goes on upstream");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_response_cancels_it_too() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    upstream.answer(Answer::event_stream().hold_head(&Gate::new()));
    let client = proxy.send(&post("/v1/chat/completions", r#"{"stream":true}"#)).await;
    let request = upstream.next_request().await;
    assert!(request.body().await.is_some());
    drop(client);
    tokio::time::timeout(PATIENCE, request.cancelled()).await.expect("it goes on upstream");
}

#[tokio::test]
async fn a_connection_to_the_upstream_is_used_again() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.threads = 1;
    })
    .await;
    for _ in 0..5 {
        proxy.exchange(&post("/v1/models", "{}")).await;
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn paths_of_the_gateway_keep_their_host_and_are_not_recorded() {
    let (upstream, gateway) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.gateway = Some(gateway.url().parse().unwrap());
    })
    .await;
    gateway.answer(Answer::json("[]"));
    let response = proxy.exchange(&post("/rpc", "{}")).await;
    assert!(response.ends_with("[]"), "{response}");
    assert_eq!(gateway.next_request().await.headers["host"], "here");
    proxy.exchange(&post("/v1/models", "{}")).await;
    let event = proxy.analytics.event().await;
    assert_eq!(event.path, "/v1/models");
}

#[tokio::test]
async fn a_named_upstream_gets_the_rest_of_the_path() {
    let (default, named) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(default.url().parse().unwrap());
        let url = format!("{}/base", named.url()).parse().unwrap();
        config.named_upstreams = vec![("claude".to_owned(), url)];
    })
    .await;
    proxy.exchange(&post("/claude/v1/messages", "{}")).await;
    assert_eq!(named.next_request().await.target, "/base/v1/messages");
    let event = proxy.analytics.event().await;
    assert_eq!((event.upstream.as_str(), event.dialect.as_str()), ("claude", "anthropic-messages"));
}

#[tokio::test]
async fn an_unreachable_upstream_gives_502_with_its_name() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{closed}").parse().unwrap());
    })
    .await;
    let response = proxy.exchange(&post("/v1/chat/completions", "{}")).await;
    assert!(response.starts_with("HTTP/1.1 502"), "{response}");
    assert!(response.contains(r#""type":"upstream_unreachable""#), "{response}");
    assert!(response.contains(&format!("http://{closed}")), "{response}");
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_the_connection_gives_504() {
    // It accepts and then says nothing to the TLS greeting.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("https://{address}").parse().unwrap());
        config.upstream_config.connect_timeout = Duration::from_millis(200);
    })
    .await;
    let response = proxy.exchange(&post("/v1/chat/completions", "{}")).await;
    assert!(response.starts_with("HTTP/1.1 504"), "{response}");
    assert!(response.contains(r#""type":"upstream_timeout""#), "{response}");
}

#[tokio::test]
async fn it_refuses_to_be_a_forward_proxy() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let response = proxy
        .exchange("GET http://elsewhere/ HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n")
        .await;
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_is_recorded_when_it_ends() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    upstream.answer(Answer::echo_upgrade("websocket").header("sec-websocket-accept", "x"));
    let mut client = proxy
        .send(
            "GET /v1/realtime?model=m HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .await;
    let head = read_until(&mut client, "\r\n\r\n").await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("upgrade: websocket") && head.contains("sec-websocket-accept"), "{head}");
    let asked = upstream.next_request().await;
    assert_eq!(asked.headers["upgrade"], "websocket");
    assert_eq!(asked.headers["sec-websocket-key"], "k");
    // A masked text frame; the other side sends it back as it is.
    for _ in 0..3 {
        let frame = "\u{1}\u{2}ping";
        tokio::io::AsyncWriteExt::write_all(&mut client, frame.as_bytes()).await.unwrap();
        read_until(&mut client, "ping").await;
    }
    drop(client);
    let event = proxy.analytics.event().await;
    assert_eq!((event.status, event.response_bytes), (Some(101), 18));
    assert_eq!(event.request_bytes, 18);
}
