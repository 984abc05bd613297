//! Back-pressure: a client that stops reading stops its upstream, disturbs nobody
//! else, and gets everything when it goes on.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use modash_test_support::{Answer, FakeUpstream, Received};
use support::streaming::{Leave, StreamingClient, WAYS, proxy_before};

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
async fn stopped(request: &Received) -> u64 {
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let sent = request.sent();
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
        let sent = stopped(&request).await;
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
