//! Requests that share a client's HTTP/2 connection do not get into each other's
//! way: not when uploads wait for their upstream.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{StreamBody, combinators::BoxBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use modash_test_support::{Answer, FakeUpstream, Gate};
use support::{
    PATIENCE, TestProxy,
    frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, request},
    post,
};
use tokio::net::TcpStream;

/// An upstream whose only connection is in use until the gate opens, and another
/// one by the name `two`.
struct Busy {
    proxy: TestProxy,
    gate: Gate,
    _first: TcpStream,
    _upstreams: [FakeUpstream; 2],
}

async fn busy() -> Busy {
    let (upstream, other) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let gate = Gate::new();
    upstream.answer(Answer::json("{}").hold_head(&gate));
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.named_upstreams = vec![("two".to_owned(), other.url().parse().unwrap())];
        config.upstream_config.pool.connections = Some(1);
        config.upstream_config.pool.wait = 3 * PATIENCE;
        config.threads = 1;
    })
    .await;
    let first = proxy.send(&post("/v1/models", "")).await;
    upstream.next_request().await;
    Busy { proxy, gate, _first: first, _upstreams: [upstream, other] }
}

type Body = BoxBody<Bytes, Infallible>;

/// A megabyte; `taken` counts what the connection takes of it.
fn upload(taken: &Arc<AtomicUsize>) -> Body {
    let taken = taken.clone();
    let pieces = (0..64).map(move |_| {
        taken.fetch_add(1, Ordering::Relaxed);
        Ok(Frame::data(Bytes::from_static(&[b' '; 16 * 1024])))
    });
    BoxBody::new(StreamBody::new(futures_util::stream::iter(pieces)))
}

#[tokio::test]
async fn uploads_that_wait_for_their_upstream_hold_up_no_other() {
    let busy = busy().await;
    let io = TokioIo::new(TcpStream::connect(busy.proxy.address).await.unwrap());
    let (mut client, connection) =
        http2::handshake::<_, _, Body>(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let taken = Arc::default();
    let mut ask = |path: &str| {
        let request = Request::post(format!("http://here{path}")).body(upload(&taken)).unwrap();
        tokio::spawn(client.send_request(request))
    };
    let waiting: Vec<_> = (0..20).map(|_| ask("/v1/files")).collect();
    // Until none of them gets on.
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = taken.load(Ordering::Relaxed);
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before < 20 * 64, "they do not wait");
    let other = tokio::time::timeout(PATIENCE, ask("/two/v1/files")).await;
    assert_eq!(other.expect("it waits too").unwrap().unwrap().status().as_u16(), 200);
    busy.gate.open();
    for response in waiting {
        assert_eq!(response.await.unwrap().unwrap().status().as_u16(), 200);
    }
}

/// h2 counts small frames that wait as larger ones.
#[tokio::test]
async fn an_upload_in_small_pieces_may_wait_too() {
    let busy = busy().await;
    let mut client = Frames::open(busy.proxy.address, &[]).await;
    client.add(HEADERS, END_HEADERS, 1, &request("POST", "/v1/files", &[]));
    for _ in 0..5_000 {
        client.add(DATA, 0, 1, b"0123456789");
    }
    client.add(DATA, END_STREAM, 1, b"");
    client.add(HEADERS, END_HEADERS | END_STREAM, 3, &request("GET", "/two/v1/models", &[]));
    client.send().await;
    assert_eq!(client.body(3).await, "{}");
    busy.gate.open();
    assert_eq!(client.body(1).await, "{}");
}
