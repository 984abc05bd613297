//! The end of the proxy process, by real signals.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use modash_integration::{PATIENCE, ProxyAlone, Signal};
use modash_test_support::{Answer, FakeUpstream, Gate, eventually, raw::RawReader};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

/// Begins a stream by HTTP/1.1 and reads its first event.
async fn stream(proxy: &ProxyAlone, path: &str) -> RawReader<TcpStream> {
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{{}}");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut reader = RawReader::new(client);
    reader.head(modash_test_support::raw::MessageKind::Response).await.unwrap().unwrap();
    assert_eq!(reader.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    reader
}

async fn readiness(proxy: &ProxyAlone, expected: u16) {
    eventually(PATIENCE, || async {
        let status = proxy.readiness().await?;
        if status == expected { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

fn two_events(gate: &Gate) -> Answer {
    Answer::event_stream().chunk("data: 1\n\n").wait(gate).chunk("data: 2\n\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_turns_readiness_off_first_and_lets_streams_end() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.answer_always(two_events(&gate));
    let delay = ("MODASH_PROXY_DRAIN_DELAY_SECONDS", "2".to_owned());
    let mut proxy = ProxyAlone::start(&upstream.url(), &[delay]).await;
    readiness(&proxy, 200).await;
    let mut old = stream(&proxy, "/v1/chat/completions").await;
    let io = TokioIo::new(TcpStream::connect(proxy.address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = || {
        let request = Request::post("http://here/v1/chat/completions");
        request.body(Full::new(Bytes::from_static(b"{}"))).unwrap()
    };
    let mut shared = sender.send_request(request()).await.unwrap().into_body();
    assert_eq!(shared.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");

    proxy.process.signal(Signal::TERM);
    readiness(&proxy, 503).await;
    // Load balancers have not noticed yet: clients still come.
    let mut late = stream(&proxy, "/v1/messages").await;
    assert!(!sender.is_closed(), "HTTP/2 clients were sent away before others");
    // Then the port closes, and HTTP/2 clients are told (GOAWAY).
    eventually(PATIENCE, || async { TcpStream::connect(proxy.address).await.is_err() }).await;
    let asks = || async {
        let asked = tokio::time::timeout(PATIENCE / 20, sender.clone().send_request(request()));
        asked.await.is_ok_and(|answer| answer.is_err())
    };
    eventually(PATIENCE, asks).await;

    gate.open();
    for reader in [&mut old, &mut late] {
        assert_eq!(reader.chunk().await.unwrap().unwrap(), "data: 2\n\n");
        assert_eq!(reader.chunk().await.unwrap(), None, "it was cut");
    }
    let rest = shared.collect().await.unwrap().to_bytes();
    assert_eq!(rest, "data: 2\n\n");
    assert!(proxy.process.ended().await.success(), "{}", proxy.process.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outlasts_the_grace_period_is_named_and_cut() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(two_events(&Gate::new()));
    let grace = ("MODASH_GRACE_PERIOD_SECONDS", "1".to_owned());
    let mut proxy = ProxyAlone::start(&upstream.url(), &[grace]).await;
    let mut client = stream(&proxy, "/v1/chat/completions?key=secret").await;
    proxy.process.signal(Signal::TERM);
    assert!(client.chunk().await.is_err(), "it looks whole");
    proxy.process.ended().await;
    let output = proxy.process.output();
    let named = output.lines().find(|line| line.contains("request cut off by the stop"));
    let named = named.unwrap_or_else(|| panic!("nobody is named: {output}"));
    assert!(named.contains(r#""path":"/v1/chat/completions""#), "{named}");
    assert!(!output.contains("secret"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(two_events(&Gate::new()));
    let grace = ("MODASH_GRACE_PERIOD_SECONDS", "600".to_owned());
    let mut proxy = ProxyAlone::start(&upstream.url(), &[grace]).await;
    let _client = stream(&proxy, "/v1/chat/completions").await;
    proxy.process.signal(Signal::TERM);
    readiness(&proxy, 503).await;
    let begin = Instant::now();
    proxy.process.signal(Signal::INT);
    let status = proxy.process.ended().await;
    println!("ended {:?} after the second signal", begin.elapsed());
    assert_eq!(status.code(), Some(1));
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(proxy.process.output().contains("second signal"), "{}", proxy.process.output());
}
