//! How clients come in: TLS with certificates that change, PROXY headers, how many
//! there may be, and what upstreams are told of them.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::{path::Path, sync::Arc, time::Duration};

use modash_proxy::{ForwardedHeaders, ListenerTlsFiles, ProxyConfig};
use modash_test_support::{Answer, Authority, FakeUpstream, Gate, Identity, eventually};
use rustls::pki_types::ServerName;
use support::{PATIENCE, TestProxy, post, read_until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const GET: &str = "GET /v1/models HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

/// In front of an upstream that answers everything with `{}`.
async fn proxy(upstream: &FakeUpstream, change: impl FnOnce(&mut ProxyConfig)) -> TestProxy {
    upstream.answer_always(Answer::json("{}"));
    TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.threads = 1;
        change(config);
    })
    .await
}

fn files(identity: &Identity, directory: &Path) -> ListenerTlsFiles {
    let (certificate, key) = identity.write(directory);
    ListenerTlsFiles { certificate, key, client_authorities: None }
}

/// Trusts this authority and offers these protocols.
async fn connect(
    proxy: &TestProxy,
    authority: &Authority,
    protocols: &[&str],
    identity: Option<&Identity>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = authority.client(protocols, identity);
    let tcp = TcpStream::connect(proxy.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// What comes back over an open connection.
async fn get(mut connection: TlsStream<TcpStream>) -> std::io::Result<String> {
    connection.write_all(GET.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn clients_reach_the_upstream_by_https_in_either_version_of_http() {
    let (authority, directory) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let upstream = FakeUpstream::start().await;
    let tls = files(&authority.sign(&["localhost"]), directory.path());
    let proxy = proxy(&upstream, |config| config.clients.tls = Some(tls)).await;
    let connection = connect(&proxy, &authority, &["http/1.1"], None).await.unwrap();
    let answer = get(connection).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{}"), "{answer}");

    let connection = connect(&proxy, &authority, &["h2", "http/1.1"], None).await.unwrap();
    assert_eq!(connection.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, driver) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(connection),
    )
    .await
    .unwrap();
    tokio::spawn(driver);
    let request = http::Request::get("https://localhost/v1/models").body(String::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_shown_without_a_restart() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let directory = tempfile::tempdir().unwrap();
    let upstream = FakeUpstream::start().await;
    let tls = files(&old.sign(&["localhost"]), directory.path());
    let proxy = proxy(&upstream, |config| config.clients.tls = Some(tls)).await;
    let before = connect(&proxy, &old, &[], None).await.unwrap();
    std::fs::write(directory.path().join("client.key"), "no key").unwrap();
    new.sign(&["localhost"]).write(directory.path());
    eventually(PATIENCE, || async {
        connect(&proxy, &new, &[], None).await.map_err(|error| error.to_string())
    })
    .await;
    assert!(get(before).await.unwrap().starts_with("HTTP/1.1 200"), "open connections go on");
}

#[tokio::test]
async fn where_client_certificates_are_demanded_nobody_comes_in_without_one() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let directory = tempfile::tempdir().unwrap();
    let upstream = FakeUpstream::start().await;
    let mut tls = files(&ours.sign(&["localhost"]), directory.path());
    tls.client_authorities = Some(ours.write(directory.path()));
    let proxy = proxy(&upstream, |config| config.clients.tls = Some(tls)).await;
    for (identity, comes_in) in [
        (None, false),
        (Some(theirs.sign(&["client"])), false),
        (Some(ours.sign(&["client"])), true),
    ] {
        let answer = match connect(&proxy, &ours, &[], identity.as_ref()).await {
            Ok(connection) => get(connection).await,
            Err(error) => Err(error),
        };
        assert_eq!(answer.is_ok(), comes_in, "{answer:?}");
    }
    assert_eq!(upstream.requests().len(), 1);
    proxy.counted("handshake_failures", 2).await;
}

#[tokio::test]
async fn plain_http_on_a_port_with_tls_is_told_to_use_https() {
    let (authority, directory) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let upstream = FakeUpstream::start().await;
    let tls = files(&authority.sign(&["localhost"]), directory.path());
    let proxy = proxy(&upstream, |config| config.clients.tls = Some(tls)).await;
    let mut connection = proxy.send(GET).await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
}

#[tokio::test]
async fn the_client_of_a_proxy_header_is_told_to_the_upstream() {
    let upstream = FakeUpstream::start().await;
    let proxy = proxy(&upstream, |config| {
        config.clients.proxy_protocol = true;
        config.clients.forwarded = ForwardedHeaders::Add;
    })
    .await;
    let header = "PROXY TCP4 203.0.113.7 127.0.0.1 4660 80\r\n";
    let answer = proxy.exchange(&format!("{header}{GET}")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let received = upstream.next_request().await;
    assert_eq!(received.headers["x-forwarded-for"], "203.0.113.7");

    let mut without = proxy.send(GET).await;
    let mut answer = Vec::new();
    // What it sent is not read, so the system may reset the connection.
    let _ = without.read_to_end(&mut answer).await;
    assert_eq!(answer, b"", "nothing is said to a connection without the header");
    proxy.counted("handshake_failures", 1).await;
}

#[tokio::test]
async fn forwarded_headers_are_added_or_replaced_only_if_that_is_switched_on() {
    let sent = "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=x\r\n";
    let request = GET.replace("Connection", &format!("{sent}Connection"));
    for (forwarded, address, proto, host, rfc7239) in [
        (ForwardedHeaders::Off, "198.51.100.1", "https", None, Some("for=x")),
        (ForwardedHeaders::Add, "198.51.100.1, 127.0.0.1", "https", Some("here"), Some("for=x")),
        (ForwardedHeaders::Replace, "127.0.0.1", "http", Some("here"), None),
    ] {
        let upstream = FakeUpstream::start().await;
        let proxy = proxy(&upstream, |config| config.clients.forwarded = forwarded).await;
        proxy.exchange(&request).await;
        let received = upstream.next_request().await;
        let value = |name: &str| received.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(value("x-forwarded-for"), Some(address), "{forwarded:?}");
        assert_eq!(value("x-forwarded-proto"), Some(proto), "{forwarded:?}");
        assert_eq!(value("x-forwarded-host"), host, "{forwarded:?}");
        assert_eq!(value("forwarded"), rfc7239, "{forwarded:?}");
    }
}

/// A proxy that takes so many connections, one of which has a request that is answered when
/// the gate opens.
async fn with_one_busy(most: usize) -> (FakeUpstream, Gate, TestProxy, TcpStream) {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.answer(Answer::json("[1]").hold_head(&gate));
    let proxy = proxy(&upstream, |config| config.clients.connections = Some(most)).await;
    let busy = proxy.send(&post("/v1/chat/completions", "{}")).await;
    upstream.next_request().await;
    (upstream, gate, proxy, busy)
}

#[tokio::test]
async fn beyond_the_most_connections_clients_get_503_until_one_leaves() {
    let (_upstream, gate, proxy, mut first) = with_one_busy(1).await;
    // More than fits into the buffers of both sockets, and never read.
    let large = post("/v1/chat/completions", &"a".repeat(900_000));
    for request in [GET, &large] {
        let answer = proxy.exchange(request).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
        assert!(answer.contains(r#""type":"too_many_connections""#), "{answer}");
        assert!(answer.contains("MODASH_PROXY_CONNECTIONS"), "{answer}");
    }
    proxy.counted("connections_refused", 2).await;
    gate.open();
    read_until(&mut first, "[1]").await;
    drop(first);
    let answer = eventually(PATIENCE, || async {
        let answer = proxy.exchange(GET).await;
        if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err(answer) }
    })
    .await;
    assert!(answer.ends_with("{}"), "{answer}");
}

#[tokio::test]
async fn surplus_clients_of_http2_get_503_and_their_connection_ends() {
    let (upstream, _gate, proxy, _first) = with_one_busy(1).await;
    let (mut sender, driver) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(TcpStream::connect(proxy.address).await.unwrap()),
    )
    .await
    .unwrap();
    let driver = tokio::spawn(driver);
    let request = http::Request::get("http://localhost/v1/models").body(String::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 503);
    let ended = tokio::time::timeout(PATIENCE, driver).await;
    assert!(ended.is_ok(), "the connection stays");
    assert_eq!(upstream.requests().len(), 1, "that of the first");
}

/// Reads to the end, which has to come.
async fn ends(mut connection: TcpStream) -> String {
    let mut rest = String::new();
    let read = tokio::time::timeout(PATIENCE, connection.read_to_string(&mut rest)).await;
    read.expect("the connection stays").unwrap();
    rest
}

#[tokio::test]
async fn the_connection_that_waited_longest_makes_room_for_a_new_one() {
    let (_upstream, gate, proxy, mut busy) = with_one_busy(3).await;
    let asked = GET.replace("Connection: close\r\n", "");
    let mut first = proxy.send(&asked).await;
    read_until(&mut first, "{}").await;
    let mut second = proxy.send(&asked).await;
    read_until(&mut second, "{}").await;
    // The first waits since later now.
    first.write_all(asked.as_bytes()).await.unwrap();
    read_until(&mut first, "{}").await;

    let mut third = proxy.send(&asked).await;
    read_until(&mut third, "{}").await;
    assert_eq!(ends(second).await, "");
    let mut fourth = proxy.send(&asked).await;
    read_until(&mut fourth, "{}").await;
    assert_eq!(ends(first).await, "");
    proxy.counted("connections_refused", 0).await;
    gate.open();
    read_until(&mut busy, "[1]").await;
}

#[tokio::test]
async fn connections_with_half_a_head_or_none_make_room() {
    let upstream = FakeUpstream::start().await;
    let proxy = proxy(&upstream, |config| config.clients.connections = Some(2)).await;
    let silent = TcpStream::connect(proxy.address).await.unwrap();
    proxy.counted("connections", 1).await;
    let slow = proxy.send("GET /v1/models HTTP/1.1\r\nHos").await;
    proxy.counted("connections", 2).await;
    for gone in [silent, slow] {
        let answer = proxy.exchange(GET).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // Those that have ended leave their place later than their clients see.
        drop(gone);
    }
    proxy.counted("connections_refused", 0).await;
}

#[tokio::test]
async fn those_that_were_too_many_take_no_room_from_others() {
    let (_upstream, gate, proxy, mut busy) = with_one_busy(1).await;
    let mut surplus = Vec::new();
    for _ in 0..20 {
        surplus.push(proxy.send("GET /v1/models HTTP/1.1\r\nHos").await);
    }
    proxy.counted("connections_refused", 20).await;
    gate.open();
    read_until(&mut busy, "[1]").await;
    let answer = proxy.exchange(GET).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_connection_of_http2_without_a_request_makes_room() {
    let upstream = FakeUpstream::start().await;
    let proxy = proxy(&upstream, |config| config.clients.connections = Some(1)).await;
    let (mut sender, driver) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(TcpStream::connect(proxy.address).await.unwrap()),
    )
    .await
    .unwrap();
    let driver = tokio::spawn(driver);
    let request = http::Request::get("http://localhost/v1/models").body(String::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    drop(response);
    let answer = eventually(PATIENCE, || async {
        let answer = proxy.exchange(GET).await;
        if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err(answer) }
    })
    .await;
    assert!(answer.ends_with("{}"), "{answer}");
    assert!(tokio::time::timeout(PATIENCE, driver).await.is_ok(), "the connection stays");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_handshake_is_closed() {
    let (authority, directory) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let upstream = FakeUpstream::start().await;
    let tls = files(&authority.sign(&["localhost"]), directory.path());
    let proxy = proxy(&upstream, |config| {
        config.clients.tls = Some(tls);
        config.clients.header_timeout = Duration::from_millis(300);
    })
    .await;
    let mut silent = TcpStream::connect(proxy.address).await.unwrap();
    let read = tokio::time::timeout(PATIENCE, silent.read(&mut [0; 16])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
}
