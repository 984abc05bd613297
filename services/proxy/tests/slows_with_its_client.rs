//! Back-pressure: a client that stops reading stops its upstream, disturbs nobody
//! else, and gets everything when it goes on.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use modash_test_support::{
    Answer, FakeUpstream, Received,
    raw::{MessageKind, RawReader},
};
use support::{
    PATIENCE, TestProxy, post, read_until,
    streaming::{Leave, StreamingClient, Version, WAYS, proxy_before},
};
use tokio::{io::AsyncWriteExt as _, net::TcpSocket};

/// Larger than all that systems hold for two connections.
const BODY: usize = 64 << 20;
const PIECE: usize = 128 << 10;

/// Bytes whose place shows in them.
fn pattern() -> Bytes {
    (0..BODY / 8)
        .flat_map(|place| (place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect()
}

fn answer(body: &Bytes) -> Answer {
    let pieces = (0..BODY / PIECE).map(|piece| body.slice(piece * PIECE..(piece + 1) * PIECE));
    pieces.fold(Answer::new(200), Answer::chunk)
}

/// How much the upstream had sent when it got on no more.
async fn stopped(requests: &[Received]) -> u64 {
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let sent = requests.iter().map(Received::sent).sum();
        if sent == before {
            return sent;
        }
        before = sent;
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_stops_the_upstream_and_loses_nothing() {
    let body = pattern();
    for (client, upstream_version) in WAYS {
        let upstream = FakeUpstream::start().await;
        let proxy = proxy_before(&upstream, upstream_version).await;
        upstream.answer(answer(&body));
        let how = (client, Leave::Close);
        let mut client = StreamingClient::post(proxy.address, how, "/v1/files", b"{}").await;
        client.head().await;
        let request = upstream.next_request().await;
        let sent = stopped(&[request]).await;
        println!("{how:?} to {upstream_version:?}: stopped after {} KiB", sent >> 10);
        assert!(sent > 0 && sent < BODY as u64 * 3 / 4, "{sent} bytes were taken");
        let mut place = 0;
        while let Some(piece) = client.next().await {
            assert!(piece == body[place..place + piece.len()], "differs after {place}");
            place += piece.len();
        }
        assert_eq!(place, BODY);
        let event = proxy.analytics.event().await;
        assert_eq!(event.response_bytes, BODY as u64);
    }
}

/// Small events cost more than they hold, and HTTP/2 counts that for the whole
/// connection.
#[tokio::test]
async fn clients_that_do_not_read_small_events_hold_up_no_other_stream() {
    // More than both connections and the upstream's own buffer hold.
    const EVENTS: usize = 45_000;
    let upstream = FakeUpstream::start().await;
    let proxy = proxy_before(&upstream, Version::Http2).await;
    let event = Bytes::from_static(b"data: {\"response\":\"a\"}\n\n");
    let many = (0..EVENTS).fold(Answer::event_stream(), |answer, _| answer.chunk(event.clone()));
    let (mut idle, mut requests) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        upstream.answer(many.clone());
        // Systems hold little for a client with a small window and small packets.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        socket2::SockRef::from(&socket).set_tcp_mss(536).unwrap();
        let mut client = socket.connect(proxy.address).await.unwrap();
        client.write_all(post("/v1/completions", "{}").as_bytes()).await.unwrap();
        idle.push(client);
        requests.push(upstream.next_request().await);
    }
    let held = stopped(&requests).await;
    // How much a socket takes for a client that does not read is the system's affair.
    let whole = (EVENTS * event.len()) as u64;
    let waiting = requests.iter().filter(|request| request.sent() < whole).count();
    println!("{waiting} streams wait, {} KiB are under way", held >> 10);
    assert!(waiting > 0, "the system took everything");
    let mut other = proxy.send(&post("/v1/chat/completions", "{}")).await;
    let response = read_until(&mut other, "{}").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert_eq!(upstream.connections(), 1, "a connection was lost");
    // And none of them has lost anything.
    for client in idle {
        let mut reader = RawReader::new(client);
        let response = reader.message(MessageKind::Response).await.unwrap().unwrap();
        assert!(response.body == event.repeat(EVENTS), "{} bytes", response.body.len());
    }
}

/// What waits for it takes memory and a connection, so it has as long as one that does
/// not write.
#[tokio::test]
async fn a_client_that_never_reads_its_answers_is_closed() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.clients.header_timeout = Duration::from_millis(500);
        config.clients.idle_timeout = Duration::from_millis(500);
    })
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(proxy.address).await.unwrap();
    let asks = async {
        let requests = "GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n".repeat(1000);
        while client.write_all(requests.as_bytes()).await.is_ok() {}
    };
    let closed = tokio::time::timeout(PATIENCE, asks).await;
    assert!(closed.is_ok(), "the connection is still open");
}
