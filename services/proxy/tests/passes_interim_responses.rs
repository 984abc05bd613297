//! Interim responses (1xx) of an upstream reach a client of HTTP/1.1, when they
//! come and in their place.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use modash_proxy::StreamUsage;
use support::{TestProxy, post, read_until};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

const GET: &str = "GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_until(&mut upstream, "\r\n\r\n").await;
    upstream
}

#[tokio::test]
async fn early_hints_arrive_before_the_response_has_begun() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    let mut client = proxy.send(GET).await;
    let mut upstream = accept(&listener).await;
    upstream.write_all(HINTS.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, HINTS);
    upstream.write_all(OK.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut client, "{}").await, OK);
}

#[tokio::test]
async fn pipelined_requests_have_their_interim_responses_in_order() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    let mut client = proxy.send(&GET.repeat(3)).await;
    let both = format!("{HINTS}{OK}");
    let mut upstream = accept(&listener).await;
    for number in 1..=3 {
        upstream.write_all(both.as_bytes()).await.unwrap();
        if number < 3 {
            read_until(&mut upstream, "\r\n\r\n").await;
        }
    }
    let expected = both.repeat(3);
    let mut got = String::new();
    while got.len() < expected.len() {
        got.push_str(&read_until(&mut client, "{}").await);
    }
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_the_response_alone() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    let mut client = proxy.send("GET /v1/models HTTP/1.0\r\nHost: here\r\n\r\n").await;
    let mut upstream = accept(&listener).await;
    upstream.write_all(format!("{HINTS}{OK}").as_bytes()).await.unwrap();
    let response = read_until(&mut client, "{}").await;
    assert!(response.contains(" 200 OK") && !response.contains("103"), "{response}");
}

#[tokio::test]
async fn a_request_that_inject_changes_has_its_interim_responses_too() {
    let (proxy, listener) =
        TestProxy::before_listener(|config| config.stream_usage = StreamUsage::Inject).await;
    let body = r#"{"model":"m","stream":true,"messages":[]}"#;
    let mut client = proxy.send(&post("/v1/chat/completions", body)).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_until(&mut upstream, r#""include_usage":true}}"#).await;
    upstream.write_all(HINTS.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, HINTS);
    let chunk = |data: &str| format!("{:x}\r\n{data}\r\n", data.len());
    let content =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n";
    let head = "HTTP/1.1 200  Sehr gut\r\nX-A:  1\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\
                 \"total_tokens\":2}}\n\n";
    let done = "data: [DONE]\n\n";
    let sent =
        format!("{head}{}{}{}0\r\nX-Sum: 1\r\n\r\n", chunk(content), chunk(usage), chunk(done));
    upstream.write_all(sent.as_bytes()).await.unwrap();
    let got = read_until(&mut client, "X-Sum: 1\r\n\r\n").await;
    // Head and trailers as they were written, and nothing of what was asked for.
    assert!(got.starts_with("HTTP/1.1 200  Sehr gut\r\nX-A:  1\r\n"), "{got}");
    assert!(got.contains("[DONE]") && !got.contains("total_tokens"), "{got}");
    assert_eq!(proxy.analytics.event().await.prompt_tokens, Some(1));
}
