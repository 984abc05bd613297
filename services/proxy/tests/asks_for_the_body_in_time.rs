//! `Expect: 100-continue`: the client is asked for its body when the upstream
//! wants it, and not by modash.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{TestProxy, read_until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const HEAD: &str = "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: here\r\n\
                    Expect: 100-continue\r\nContent-Length: 4\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// A proxy, and the connection on which its upstream gets the head.
async fn asked() -> (TestProxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{address}").parse().unwrap());
    })
    .await;
    let client = proxy.send(HEAD).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    let head = read_until(&mut upstream, "\r\n\r\n").await;
    assert!(head.contains("Expect: 100-continue"), "{head}");
    (proxy, client, upstream)
}

async fn nothing_comes(stream: &mut TcpStream, during: Duration) {
    let came = tokio::time::timeout(during, stream.read_u8()).await;
    assert!(came.is_err(), "{came:?}");
}

#[tokio::test]
async fn the_client_is_asked_when_the_upstream_asks() {
    let (_proxy, mut client, mut upstream) = asked().await;
    nothing_comes(&mut client, Duration::from_millis(300)).await;
    upstream.write_all(CONTINUE.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, CONTINUE);
    nothing_comes(&mut upstream, Duration::from_millis(50)).await;
    client.write_all(b"body").await.unwrap();
    read_until(&mut upstream, "body").await;
    upstream.write_all(OK).await.unwrap();
    assert!(read_until(&mut client, "{}").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_was_never_asked() {
    let (proxy, mut client, mut upstream) = asked().await;
    upstream.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    let answer = read_until(&mut client, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let event = proxy.analytics.event().await;
    assert_eq!((event.status, event.request_bytes), (Some(401), 0));
}

#[tokio::test]
async fn an_upstream_that_says_nothing_gets_the_body_after_a_while() {
    let (_proxy, mut client, mut upstream) = asked().await;
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, CONTINUE);
    client.write_all(b"body").await.unwrap();
    read_until(&mut upstream, "body").await;
    upstream.write_all(OK).await.unwrap();
    assert!(read_until(&mut client, "{}").await.starts_with("HTTP/1.1 200"));
}
