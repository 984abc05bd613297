//! Clients that are slow or idle, and what they see when a proxy stops or another
//! one takes over its port.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use modash_proxy::Proxy;
use modash_runtime::ServiceContext;
use modash_test_support::{Answer, FakeUpstream, Gate, eventually};
use support::{FakeAnalytics, PATIENCE, TestProxy, config, read_until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const GET: &str = "GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n";

async fn with_timeouts(upstream: &FakeUpstream, head: u64, idle: u64) -> TestProxy {
    TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.clients.header_timeout = Duration::from_millis(head);
        config.clients.idle_timeout = Duration::from_millis(idle);
    })
    .await
}

async fn rest(client: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, client.read_to_string(&mut text)).await;
    read.expect("the connection stays open").unwrap();
    text
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_ends_with_408() {
    let upstream = FakeUpstream::start().await;
    let proxy = with_timeouts(&upstream, 300, 60_000).await;
    for first in ["", GET] {
        let mut client = proxy.send(first).await;
        if !first.is_empty() {
            read_until(&mut client, "{}").await;
        }
        let (mut from, mut to) = client.into_split();
        let drip = tokio::spawn(async move {
            loop {
                for byte in GET.as_bytes().iter().take(GET.len() - 4) {
                    if to.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        let mut text = [0; 12];
        tokio::time::timeout(PATIENCE, from.read_exact(&mut text)).await.unwrap().unwrap();
        assert_eq!(&text, b"HTTP/1.1 408");
        drip.abort();
    }
}

#[tokio::test]
async fn a_client_that_sends_nothing_and_one_that_is_idle_are_closed() {
    let upstream = FakeUpstream::start().await;
    let proxy = with_timeouts(&upstream, 200, 400).await;
    let mut silent = proxy.send("").await;
    assert_eq!(rest(&mut silent).await, "");
    let mut idle = proxy.send(GET).await;
    read_until(&mut idle, "{}").await;
    assert_eq!(rest(&mut idle).await, "");
}

#[tokio::test]
async fn a_stream_that_says_nothing_for_long_is_not_idle() {
    let upstream = FakeUpstream::start().await;
    let proxy = with_timeouts(&upstream, 50, 50).await;
    let more = Gate::new();
    upstream.answer(Answer::event_stream().chunk("data: 1\n\n").wait(&more).chunk("data: 2\n\n"));
    let mut client = proxy.send(GET).await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    more.open();
    read_until(&mut client, "data: 2\n\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_serves_the_one_that_has_just_come() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let mut idle = proxy.send(GET).await;
    read_until(&mut idle, "{}").await;
    let mut fresh = proxy.send("").await;
    proxy.context.shutdown.request();
    assert_eq!(rest(&mut idle).await, "");
    fresh.write_all(GET.as_bytes()).await.unwrap();
    let answer = rest(&mut fresh).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    proxy.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_connections_that_never_ask() {
    let upstream = FakeUpstream::start().await;
    let proxy = with_timeouts(&upstream, 1_000_000, 1_000_000).await;
    let mut silent = proxy.send("").await;
    proxy.counted("connections", 1).await;
    proxy.context.shutdown.request();
    // Long before the grace period cuts it off.
    let closed = tokio::time::timeout(PATIENCE / 2, rest(&mut silent)).await;
    assert_eq!(closed.expect("it is kept"), "");
    proxy.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_are_accepted_for_as_long_as_the_drain_delay() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.clients.drain_delay = Duration::from_secs(1);
    })
    .await;
    proxy.context.shutdown.request();
    let mut client = proxy.send(GET).await;
    read_until(&mut client, "{}").await;
    eventually(PATIENCE, || async { TcpStream::connect(proxy.address).await.is_err() }).await;
    proxy.running.await.unwrap().unwrap();
}

/// Every request opens a connection of its own; proxies take over from each other
/// all the while.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_takes_over_without_a_refused_or_reset_connection() {
    let rounds = std::env::var_os("HAND_OVERS").and_then(|text| text.to_str()?.parse().ok());
    let rounds: usize = rounds.unwrap_or(8);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let analytics = listener.local_addr().unwrap();
    FakeAnalytics::default().serve(listener);
    let upstream = FakeUpstream::start().await;
    let start = async |address: std::net::SocketAddr| {
        let mut config = config(analytics);
        config.listen = address;
        config.upstream = Some(upstream.url().parse().unwrap());
        config.clients.share_port = true;
        let proxy = Proxy::bind(config).await.unwrap();
        let address = proxy.address();
        let context = ServiceContext::new(Duration::from_secs(3));
        let running = tokio::spawn(proxy.run(context.clone()));
        (address, context, running)
    };
    let (address, mut context, mut running) = start(([127, 0, 0, 1], 0).into()).await;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (stop, answered) = (stop.clone(), answered.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = TcpStream::connect(address).await.expect("refused");
                    client.write_all(GET.as_bytes()).await.expect("reset");
                    read_until(&mut client, "{}").await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..rounds {
        let next = start(address).await;
        context.shutdown.request();
        running.await.unwrap().unwrap();
        (_, context, running) = next;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client saw an error");
    }
    println!("{} requests over {rounds} hand-overs", answered.load(Ordering::Relaxed));
    context.shutdown.request();
    running.await.unwrap().unwrap();
}
