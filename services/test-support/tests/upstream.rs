//! The fake upstream keeps to its script and records what really came.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use modash_test_support::{Answer, FakeUpstream, Gate, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const SOON: Duration = Duration::from_secs(10);

async fn connect(upstream: &FakeUpstream) -> TcpStream {
    TcpStream::connect(upstream.address()).await.unwrap()
}

/// Reads until `text` has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(text) {
        let byte = stream.read_u8().await.unwrap();
        bytes.push(byte);
    }
    String::from_utf8(bytes).unwrap()
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_exact_head_of_every_request_on_a_connection_is_recorded() {
    let upstream = FakeUpstream::start().await;
    let mut client = connect(&upstream).await;
    for round in 1..=2 {
        let head = format!(
            "POST /v1/chat?n={round} HTTP/1.1\r\nhOst: a\r\nX-B: 1\r\nx-a:2\r\nContent-Length: 4\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(b"body").await.unwrap();
        read_until(&mut client, "{}").await;
        let received = upstream.next_request().await;
        assert_eq!(received.raw_head, head);
        assert_eq!(received.target, format!("/v1/chat?n={round}"));
        assert_eq!(received.headers["x-a"], "2");
        assert_eq!(received.body().await.unwrap(), "body");
        assert_eq!(received.connection, 1);
        assert!(received.is_answered());
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn chunks_wait_for_their_gate_and_leave_one_by_one() {
    let upstream = FakeUpstream::start().await;
    let (head, body) = (Gate::new(), Gate::new());
    let answer = Answer::event_stream().hold_head(&head).chunk("one").wait(&body).chunk("two");
    upstream.answer(answer);
    let mut client = connect(&upstream).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    upstream.next_request().await;
    head.open();
    let first = read_until(&mut client, "3\r\none\r\n").await;
    assert!(first.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"), "{first}");
    body.open();
    assert_eq!(read_all(&mut client).await, "3\r\ntwo\r\n0\r\n\r\n");
}

#[tokio::test]
async fn an_answer_may_break_off_or_never_come() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Answer::new(200).chunk("half").break_off());
    upstream.answer(Answer::hang_up());
    let mut client = connect(&upstream).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.ends_with("4\r\nhalf\r\n"), "{answer}");
    let mut client = connect(&upstream).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut client).await, "");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_before_and_after_the_head() {
    let upstream = FakeUpstream::start().await;
    let never = Gate::new();
    upstream.answer(Answer::new(200).hold_head(&never));
    upstream.answer(Answer::new(200).chunk("a").wait(&never));
    for wait_for in [None, Some("a\r\n")] {
        let mut client = connect(&upstream).await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let received = upstream.next_request().await;
        if let Some(text) = wait_for {
            read_until(&mut client, text).await;
        }
        drop(client);
        tokio::time::timeout(SOON, received.cancelled()).await.unwrap();
    }
}

#[tokio::test]
async fn an_early_answer_comes_while_the_request_goes_on() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Answer::new(200).early().chunk("early"));
    let mut client = connect(&upstream).await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc").await.unwrap();
    let received = upstream.next_request().await;
    read_until(&mut client, "early").await;
    received.body_reached(3).await;
    assert_eq!(received.body_so_far(), "abc");
}

#[tokio::test]
async fn a_request_that_breaks_off_has_no_body() {
    let upstream = FakeUpstream::start().await;
    let mut client = connect(&upstream).await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc").await.unwrap();
    let received = upstream.next_request().await;
    drop(client);
    assert_eq!(received.body().await, None);
}

#[tokio::test]
async fn trailers_are_sent() {
    let upstream = FakeUpstream::start().await;
    let answer = Answer::new(200).header("trailer", "x-end").chunk("a");
    upstream.answer(answer.trailers(&[("x-end", "yes")]));
    let mut client = connect(&upstream).await;
    let head = b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n\r\n";
    client.write_all(head).await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.ends_with("1\r\na\r\n0\r\nx-end: yes\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_upgraded_connection_echoes() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Answer::echo_upgrade("websocket"));
    let mut client = connect(&upstream).await;
    let head = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(head).await.unwrap();
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client.write_all(b"ping").await.unwrap();
    assert_eq!(read_until(&mut client, "ping").await, "ping");
}

#[tokio::test]
async fn both_protocols_are_served() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json(r#"{"a":1}"#));
    let body = || Full::new(Bytes::from_static(b"question"));
    let io = TokioIo::new(connect(&upstream).await);
    let (mut one, connection) = http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("/one").header("host", "a").body(body()).unwrap();
    let answer = one.send_request(request).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), r#"{"a":1}"#);
    let io = TokioIo::new(connect(&upstream).await);
    let (mut two, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://a/two").body(body()).unwrap();
    let answer = two.send_request(request).await.unwrap();
    let expected = HeaderMap::from_iter([
        ("content-type".parse().unwrap(), "application/json".parse().unwrap()),
        ("content-length".parse().unwrap(), "7".parse().unwrap()),
    ]);
    assert_eq!(*answer.headers(), expected);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), r#"{"a":1}"#);
    let requests = upstream.requests();
    assert_eq!(requests[0].version, Version::HTTP_11);
    assert_eq!(requests[1].version, Version::HTTP_2);
    assert_eq!(requests[1].target, "/two");
    assert_eq!(requests[1].raw_head, "");
    eventually(SOON, async || requests.iter().all(modash_test_support::Received::is_answered))
        .await;
}
