//! HTTP/2 to upstreams: when it is spoken, that connections are shared, and that
//! streams do not get into each other's way.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use modash_proto::v1::Outcome;
use modash_proxy::{ClientTlsFiles, HttpVersion, ProxyConfig};
use modash_test_support::{Answer, FakeUpstream, Gate, eventually};
use support::{
    PATIENCE, TestProxy, post, read_until,
    tls::{Authority, TlsUpstream},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// A TLS upstream that speaks these protocols, and a proxy before it.
async fn over_tls(
    protocols: &[&str],
    http: HttpVersion,
    change: impl FnOnce(&mut ProxyConfig),
) -> (TlsUpstream, TestProxy) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("test authority");
    let upstream = TlsUpstream::start(&authority.sign(&["localhost"]), protocols, None).await;
    let tls = ClientTlsFiles {
        authorities: Some(authority.write(directory.path())),
        ..Default::default()
    };
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url("localhost").parse().unwrap());
        config.upstream_config.tls = tls;
        config.upstream_config.http = http;
        config.threads = 1;
        change(config);
    })
    .await;
    (upstream, proxy)
}

/// A client that speaks HTTP/2 to the proxy.
async fn client(proxy: &TestProxy) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(proxy: &TestProxy, path: &str) -> Request<Full<Bytes>> {
    let uri = format!("http://{}{path}", proxy.address);
    Request::post(uri).body(Full::new(Bytes::from_static(b"{}"))).unwrap()
}

fn protocols(upstream: &TlsUpstream) -> Vec<String> {
    upstream.handshakes().into_iter().filter_map(|handshake| handshake.protocol).collect()
}

#[tokio::test]
async fn an_upstream_is_spoken_to_as_the_client_speaks() {
    let (upstream, proxy) = over_tls(&["h2", "http/1.1"], HttpVersion::Same, |_| ()).await;
    let response = proxy.exchange(&post("/v1/chat/completions", "{}")).await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let mut client = client(&proxy).await;
    for _ in 0..3 {
        let response = client.send_request(request(&proxy, "/v1/chat/completions")).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    }
    assert_eq!(protocols(&upstream), ["http/1.1", "h2"]);
}

#[tokio::test]
async fn with_2_every_client_gets_http2_and_a_burst_shares_a_connection() {
    let (upstream, proxy) = over_tls(&["h2", "http/1.1"], HttpVersion::Http2, |_| ()).await;
    let burst = (0..40).map(|_| async {
        let response = proxy.exchange(&post("/v1/chat/completions", "{}")).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    });
    futures_util::future::join_all(burst).await;
    assert_eq!(protocols(&upstream), ["h2"]);
    let events = proxy.analytics.events(40).await;
    assert!(events.iter().all(|event| event.status == Some(200)));
}

#[tokio::test]
async fn an_upstream_without_http2_gets_http1_and_is_remembered() {
    let (upstream, proxy) = over_tls(&["http/1.1"], HttpVersion::Http2, |_| ()).await;
    for _ in 0..3 {
        let response = proxy.exchange(&post("/v1/chat/completions", "{}")).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }
    assert_eq!(protocols(&upstream), ["http/1.1"]);
}

#[tokio::test]
async fn h2c_carries_heads_bodies_and_trailers_both_ways() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Answer::json("[1]").header("x-one", "1").trailers(&[("x-checksum", "abc")]));
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("h2c://{}/base", upstream.address()).parse().unwrap());
        config.threads = 1;
    })
    .await;
    let mut client = client(&proxy).await;
    let mut asked = request(&proxy, "/v1/x?a=b");
    asked.headers_mut().insert("te", "trailers".parse().unwrap());
    let response = client.send_request(asked).await.unwrap();
    assert_eq!(response.headers()["x-one"], "1");
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-checksum"], "abc");
    assert_eq!(body.to_bytes(), "[1]");
    let received = upstream.next_request().await;
    assert_eq!(received.version, Version::HTTP_2);
    assert!(received.target.ends_with("/base/v1/x?a=b"), "{}", received.target);
    assert_eq!(received.headers["te"], "trailers");
    assert!(!received.headers.contains_key("host"), "{:?}", received.headers);
    assert_eq!(received.body_so_far(), "{}");
    // And for a client of HTTP/1.1.
    let response = proxy.exchange(&post("/v1/x", "{}")).await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn the_trailers_of_a_request_reach_the_upstream() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("h2c://{}", upstream.address()).parse().unwrap());
    })
    .await;
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", "abc".parse().unwrap());
    let body = Full::new(Bytes::from_static(b"{}")).with_trailers(std::future::ready(Some(Ok::<
        _,
        std::convert::Infallible,
    >(
        trailers,
    ))));
    let request = Request::post(format!("http://{}/v1/x", proxy.address)).body(body).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status().as_u16(), 200);
    let received = upstream.next_request().await;
    assert_eq!(received.body().await.unwrap(), "{}");
    assert_eq!(received.trailers().unwrap()["x-checksum"], "abc");
}

/// An HTTP/2 server that allows this many streams on a connection, and answers
/// when it has a permit.
struct Narrow {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    answers: Arc<Semaphore>,
}

async fn narrow(streams: u32) -> Narrow {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let narrow = Narrow {
        address: listener.local_addr().unwrap(),
        connections: Arc::default(),
        most: Arc::default(),
        answers: Arc::new(Semaphore::new(0)),
    };
    let (connections, most, answers) =
        (narrow.connections.clone(), narrow.most.clone(), narrow.answers.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::Relaxed);
            let (most, answers) = (most.clone(), answers.clone());
            let running = Arc::new(AtomicUsize::new(0));
            let service = service_fn(move |_: Request<Incoming>| {
                let (most, answers, running) = (most.clone(), answers.clone(), running.clone());
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    answers.acquire().await.unwrap().forget();
                    running.fetch_sub(1, Ordering::Relaxed);
                    let body = Full::new(Bytes::from_static(b"{}"));
                    Ok::<_, std::convert::Infallible>(Response::new(body))
                }
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(streams);
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    narrow
}

async fn towards(narrow: &Narrow, change: impl FnOnce(&mut ProxyConfig)) -> TestProxy {
    TestProxy::start_with(|config| {
        config.upstream = Some(format!("h2c://{}", narrow.address).parse().unwrap());
        config.threads = 1;
        change(config);
    })
    .await
}

async fn until(what: impl Fn() -> Result<(), String>) {
    modash_test_support::eventually(PATIENCE, || async { what() }).await;
}

#[tokio::test]
async fn beyond_the_streams_that_the_upstream_allows_there_is_a_new_connection() {
    let upstream = narrow(2).await;
    let proxy = towards(&upstream, |_| ()).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(proxy.send(&post("/v1/chat/completions", "{}")).await);
    }
    until(|| match upstream.connections.load(Ordering::Relaxed) {
        3 => Ok(()),
        other => Err(format!("{other} connections")),
    })
    .await;
    upstream.answers.add_permits(5);
    for client in &mut clients {
        read_until(client, "{}").await;
    }
    assert_eq!(upstream.most.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn with_as_many_connections_as_allowed_a_stream_is_waited_for() {
    let upstream = narrow(1).await;
    let proxy = towards(&upstream, |config| {
        config.upstream_config.pool.connections = Some(1);
        config.upstream_config.pool.wait = Duration::from_secs(3);
    })
    .await;
    let mut first = proxy.send(&post("/v1/chat/completions", "{}")).await;
    until(|| match upstream.most.load(Ordering::Relaxed) {
        1 => Ok(()),
        _ => Err("no request".to_owned()),
    })
    .await;
    let refused = proxy.exchange(&post("/v1/chat/completions", "{}")).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    let mut second = proxy.send(&post("/v1/chat/completions", "{}")).await;
    upstream.answers.add_permits(2);
    read_until(&mut first, "{}").await;
    read_until(&mut second, "{}").await;
    assert_eq!(upstream.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_that_goes_away_ends_its_streams_and_gets_no_new_ones() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gate = Gate::new();
    let held = gate.clone();
    // Each connection says GOAWAY as soon as it has one request.
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let held = held.clone();
            tokio::spawn(async move {
                let (begun, mut begin) = tokio::sync::mpsc::channel(10);
                let service = service_fn(move |_: Request<Incoming>| {
                    let (held, begun) = (held.clone(), begun.clone());
                    async move {
                        begun.send(()).await.unwrap();
                        held.passed().await;
                        let body = Full::new(Bytes::from_static(b"{}"));
                        Ok::<_, std::convert::Infallible>(Response::new(body))
                    }
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let mut connection =
                    std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    _ = &mut connection => return,
                    _ = begin.recv() => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
        }
    });
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("h2c://{address}").parse().unwrap());
        config.threads = 1;
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(proxy.send(&post("/v1/chat/completions", "{}")).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    gate.open();
    for client in &mut clients {
        let response = read_until(client, "{}").await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_no_other_stream() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("h2c://{}", upstream.address()).parse().unwrap());
        config.threads = 1;
    })
    .await;
    let megabytes = vec![b'x'; 8 << 20];
    let mut idle = Vec::new();
    for _ in 0..30 {
        upstream.answer(Answer::new(200).chunk(megabytes.clone()));
        idle.push(proxy.send(&post("/v1/files", "{}")).await);
        upstream.next_request().await;
    }
    upstream.answer_always(Answer::json(megabytes.clone()));
    let request = post("/v1/files", "{}");
    let response = tokio::time::timeout(PATIENCE, proxy.exchange(&request)).await.unwrap();
    assert!(response.len() > megabytes.len(), "{}", response.len());
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_stream_and_not_the_connection() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("h2c://{}", upstream.address()).parse().unwrap());
        config.threads = 1;
    })
    .await;
    upstream.answer(Answer::event_stream().chunk("data: 1\n\n").wait(&Gate::new()));
    let mut client = proxy.send(&post("/v1/chat/completions", "{}")).await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    let received = upstream.next_request().await;
    drop(client);
    tokio::time::timeout(PATIENCE, received.cancelled()).await.unwrap();
    let event = proxy.analytics.event().await;
    assert_eq!(event.outcome(), Outcome::ClientClosed);
    proxy.exchange(&post("/v1/chat/completions", "{}")).await;
    assert_eq!(upstream.connections(), 1);
}

/// A request of HTTP/1.1 that keeps the only connection until `}` is sent.
async fn hold_the_connection(proxy: &TestProxy, upstream: &TlsUpstream) -> TcpStream {
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{";
    let holder = proxy.send(head).await;
    until(|| match upstream.handshakes().len() {
        1 => Ok(()),
        _ => Err("no connection".to_owned()),
    })
    .await;
    holder
}

#[tokio::test]
async fn requests_that_wait_for_a_connection_of_the_other_version_get_503_in_their_time() {
    let (upstream, proxy) = over_tls(&["h2", "http/1.1"], HttpVersion::Same, |config| {
        config.upstream_config.pool.connections = Some(1);
        config.upstream_config.pool.wait = Duration::from_millis(300);
        // What one of them must not wait for.
        config.upstream_config.connect_timeout = PATIENCE * 2;
    })
    .await;
    let _holder = hold_the_connection(&proxy, &upstream).await;
    let client = client(&proxy).await;
    let waiting = (0..100).map(|_| async {
        let answer = client.clone().send_request(request(&proxy, "/v1/chat/completions")).await;
        answer.unwrap().status().as_u16()
    });
    let all = futures_util::future::join_all(waiting);
    let statuses = tokio::time::timeout(PATIENCE, all).await.expect("they wait for each other");
    assert_eq!(statuses, [503; 100]);
}

#[tokio::test]
async fn a_connection_of_the_other_version_that_ends_lets_a_waiting_request_go() {
    let (upstream, proxy) = over_tls(&["h2", "http/1.1"], HttpVersion::Same, |config| {
        config.upstream_config.pool.connections = Some(1);
        config.upstream_config.pool.wait = PATIENCE * 2;
    })
    .await;
    let mut holder = hold_the_connection(&proxy, &upstream).await;
    let client = client(&proxy).await;
    let waiting = (0..3).map(|_| async {
        let answer = client.clone().send_request(request(&proxy, "/v1/chat/completions")).await;
        answer.unwrap().status().as_u16()
    });
    let release = async {
        until_waiting(&proxy, 3).await;
        holder.write_all(b"}").await.unwrap();
    };
    let all = async { tokio::join!(futures_util::future::join_all(waiting), release).0 };
    let statuses = tokio::time::timeout(PATIENCE, all).await.expect("nobody woke them");
    assert_eq!(statuses, [200; 3]);
}

async fn until_waiting(proxy: &TestProxy, count: u64) {
    eventually(PATIENCE, || async {
        let waits = proxy.counter("upstream_waits").await;
        if waits >= count { Ok(()) } else { Err(format!("{waits} wait")) }
    })
    .await;
}
