//! Upstreams that answer before they have the whole request: a refusal of a large
//! upload reaches the client that is still sending it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::sync::Arc;

use modash_proto::v1::{Outcome, UsageEvent};
use modash_test_support::{
    Answer, FakeUpstream,
    raw::{MessageKind, RawMessage, RawReader},
};
use rustls::ServerConfig;
use support::{
    PATIENCE, TestProxy,
    streaming::{Leave, StreamingClient, Version, WAYS, proxy_before},
    tls::Authority,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

const REFUSAL: &str = r#"{"error":{"message":"too large","type":"invalid_request_error"}}"#;

#[tokio::test]
async fn a_refusal_reaches_the_client_before_its_upload_ends() {
    for (client, upstream_version) in WAYS {
        let upstream = FakeUpstream::start().await;
        let proxy = proxy_before(&upstream, upstream_version).await;
        let refusal = Answer::new(413).header("content-length", "64").chunk(REFUSAL).early();
        upstream.answer(refusal);
        let how = (client, Leave::Close);
        let path = "/v1/chat/completions";
        let mut client = StreamingClient::begin(proxy.address, how, path, (b"{", 50_000_000)).await;
        let head = tokio::time::timeout(PATIENCE, client.head()).await;
        let (status, _) = head.unwrap_or_else(|_| panic!("{how:?} to {upstream_version:?} waits"));
        assert_eq!(status, 413);
        let event = proxy.analytics.event().await;
        assert_eq!((event.outcome(), event.status), (Outcome::HttpError, Some(413)));
    }
}

/// It sends on and on, and reads only then, as many do.
#[tokio::test]
async fn a_client_that_sends_on_can_read_the_refusal_afterwards() {
    for upstream_version in [Version::Http1, Version::Http2] {
        let upstream = FakeUpstream::start().await;
        let proxy = proxy_before(&upstream, upstream_version).await;
        let refusal = Answer::new(413).header("content-length", "64").chunk(REFUSAL).early();
        upstream.answer(refusal);
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        let size = 700_000;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: {size}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..size / 1_000 {
            client.write_all(&[b' '; 1_000]).await.expect("cut off before it had read the answer");
            tokio::time::sleep(std::time::Duration::from_micros(200)).await;
        }
        let mut reader = RawReader::new(client);
        let answer = reader.message(MessageKind::Response).await.unwrap().unwrap();
        assert!(answer.start.starts_with(b"HTTP/1.1 413"), "{answer:?}");
        assert_eq!(answer.body, REFUSAL);
    }
}

const REFUSALS: [u16; 3] = [413, 401, 429];

/// Reads the head, refuses and closes, which resets the connection: most of the
/// body is unread.
async fn refuse_and_close(listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
    for status in REFUSALS.iter().cycle() {
        let (stream, _) = listener.accept().await.unwrap();
        // Or the answer waits behind the session tickets of TLS, and is lost.
        stream.set_nodelay(true).unwrap();
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => refuse(stream, *status).await,
                Some(tls) => {
                    refuse(TlsAcceptor::from(tls).accept(stream).await.unwrap(), *status).await;
                }
            }
        });
    }
}

async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: u16) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap() == 0 {
            return;
        }
    }
    let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 64\r\n\r\n{REFUSAL}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn a_refusal_wins_over_the_reset_that_comes_with_it() {
    let authority = Authority::new("ours");
    let directory = tempfile::tempdir().unwrap();
    let file = authority.write(directory.path());
    let identity = authority.sign(&["localhost"]);
    for tls in [None, Some(Arc::new(identity.server()))] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        tokio::spawn(refuse_and_close(listener, tls));
        let proxy = TestProxy::start_with(|config| {
            config.upstream = Some(format!("{scheme}://localhost:{port}").parse().unwrap());
            config.upstream_config.tls.authorities = Some(file.clone());
        })
        .await;
        for number in 0..60 {
            let answer = upload(&proxy, number % 2 == 0, number % 4 < 2).await;
            let start = String::from_utf8_lossy(&answer.start);
            let refused = REFUSALS.iter().any(|status| start.contains(&format!(" {status} No")));
            assert!(
                refused,
                "{scheme} {number}: {start} {}",
                String::from_utf8_lossy(&answer.body)
            );
            assert_eq!(answer.body, REFUSAL, "{scheme} {number}");
        }
        let events = proxy.analytics.events(60).await;
        let refused = |event: &UsageEvent| REFUSALS.contains(&(event.status.unwrap() as u16));
        assert!(events.iter().all(refused), "{events:#?}");
    }
}

/// Sends a megabyte on a connection of its own, and reads only then.
async fn upload(proxy: &TestProxy, close: bool, chunked: bool) -> RawMessage {
    let piece = vec![b' '; 64 * 1024];
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    let connection = if close { "Connection: close\r\n" } else { "" };
    let framing = match chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {}", 16 * piece.len()),
    };
    let head = format!("POST /v1/files HTTP/1.1\r\nHost: here\r\n{connection}{framing}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..16 {
        if chunked {
            client.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
        }
        client.write_all(&piece).await.unwrap();
        if chunked {
            client.write_all(b"\r\n").await.unwrap();
        }
    }
    let mut reader = RawReader::new(client);
    reader.message(MessageKind::Response).await.unwrap().unwrap()
}
