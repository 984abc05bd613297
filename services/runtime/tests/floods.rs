//! Floods of HTTP/2 at a listener: one connection ends, and the others do not notice.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use modash_runtime::{BoundedListener, ConnectionCount, ListenerLimits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const PATIENCE: Duration = Duration::from_secs(30);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

// RFC 9113, sections 6 and 7.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn listener() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = BoundedListener::new(listener, ListenerLimits::default()).unwrap();
    let address = listener.address();
    let router = Router::new().route("/", get(|| async { "ok" }));
    let stop = std::future::pending();
    tokio::spawn(listener.serve(router, ConnectionCount::default(), stop));
    address
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET http://here/` (RFC 7541: indexed fields, and a literal authority).
const GET: &[u8] = b"\x82\x86\x84\x01\x04here";

/// Sends pieces until the server closes the connection or there are no more; gives the
/// bytes that were sent, and the error code of the GOAWAY that came.
async fn flood(address: SocketAddr, pieces: impl Iterator<Item = Vec<u8>>) -> (usize, Option<u32>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        let _ = read.read_to_end(&mut bytes).await;
        bytes
    });
    let mut sent = 0;
    write.write_all(PREFACE).await.unwrap();
    for piece in pieces {
        if reading.is_finished() || write.write_all(&piece).await.is_err() {
            break;
        }
        sent += piece.len();
        tokio::task::yield_now().await;
    }
    let bytes = tokio::time::timeout(PATIENCE, reading).await.expect("the connection stays");
    (sent, goaway(&bytes.unwrap()))
}

fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if head[3] == GOAWAY {
            return rest.get(4..8).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
        }
        bytes = rest.get(length..)?;
    }
    None
}

async fn others_are_answered(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_resets_its_requests_at_once_loses_its_connection() {
    let address = listener().await;
    // Several in each piece: what is reset before the server has looked at it counts.
    let pieces = (0..20_000_u32).collect::<Vec<_>>();
    let pieces = pieces.chunks(100).map(|numbers| {
        let requests = numbers.iter().flat_map(|number| {
            let stream = 2 * number + 1;
            let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            bytes
        });
        requests.collect::<Vec<u8>>()
    });
    let (_, code) = flood(address, pieces).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    others_are_answered(address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_never_end_lose_their_connection() {
    for (payload, most) in [(vec![0; 16_000], 1 << 20), (Vec::new(), 1 << 20)] {
        let address = listener().await;
        let begin = std::iter::once(frame(HEADERS, 0, 1, GET));
        // Parts of one literal field of 1 MiB, or empty.
        let literal = [&b"\x00\x01x\x7f\x81\xff\x3f"[..], &payload].concat();
        let first = if payload.is_empty() { Vec::new() } else { literal };
        let more = std::iter::repeat_with(move || frame(CONTINUATION, 0, 1, &payload));
        let pieces = begin.chain([frame(CONTINUATION, 0, 1, &first)]).chain(more);
        let (sent, code) = flood(address, pieces.take(200_000)).await;
        assert!(code.is_some_and(|code| code != 0), "no GOAWAY after {sent} bytes");
        assert!(sent < most + (8 << 20), "{sent} bytes were taken");
        others_are_answered(address).await;
    }
}
