//! Interim responses (1xx) of an upstream reach a client of HTTP/1.1, when they
//! come and in their place.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use support::{TestProxy, read_until};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

const GET: &str = "GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

async fn proxy() -> (TestProxy, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{address}").parse().unwrap());
        config.threads = 1;
    })
    .await;
    (proxy, listener)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_until(&mut upstream, "\r\n\r\n").await;
    upstream
}

#[tokio::test]
async fn early_hints_arrive_before_the_response_has_begun() {
    let (proxy, listener) = proxy().await;
    let mut client = proxy.send(GET).await;
    let mut upstream = accept(&listener).await;
    upstream.write_all(HINTS.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, HINTS);
    upstream.write_all(OK.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut client, "{}").await, OK);
}

#[tokio::test]
async fn pipelined_requests_have_their_interim_responses_in_order() {
    let (proxy, listener) = proxy().await;
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
    let (proxy, listener) = proxy().await;
    let mut client = proxy.send("GET /v1/models HTTP/1.0\r\nHost: here\r\n\r\n").await;
    let mut upstream = accept(&listener).await;
    upstream.write_all(format!("{HINTS}{OK}").as_bytes()).await.unwrap();
    let response = read_until(&mut client, "{}").await;
    assert!(response.contains(" 200 OK") && !response.contains("103"), "{response}");
}
