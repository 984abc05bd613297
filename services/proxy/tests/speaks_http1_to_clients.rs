//! HTTP/1.1 and 1.0 to clients, by the byte: pipelines, old clients, and what
//! RFC 9112 lets them do.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use modash_test_support::{
    Answer, FakeUpstream, Gate,
    raw::{Framing, MessageKind, RawReader},
};
use support::{PATIENCE, TestProxy, read_until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

async fn proxy() -> (FakeUpstream, TestProxy) {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    (upstream, proxy)
}

/// What comes until the proxy closes the connection.
async fn rest(client: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, client.read_to_string(&mut text)).await;
    read.expect("the connection stays open").unwrap();
    text
}

#[tokio::test]
async fn requests_in_one_write_are_answered_in_their_order() {
    let (upstream, proxy) = proxy().await;
    for number in 0..20 {
        upstream.answer(match number % 3 {
            0 => Answer::json(format!("[{number}]")),
            1 => Answer::new(200).chunk(format!("[{number}")).chunk("]"),
            _ => Answer::new(204),
        });
    }
    let mut requests = String::new();
    for number in 0..20 {
        requests.push_str(&match number % 4 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: here\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\nabc"),
            2 => format!(
                "POST /{number} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n\r\n"
            ),
            // An empty line too many before a request is overlooked (RFC 9112 2.2).
            _ => format!("\r\nHEAD /{number} HTTP/1.1\r\nHost: here\r\n\r\n"),
        });
    }
    let client = proxy.send(&requests).await;
    let mut reader = RawReader::new(client);
    for number in 0..20 {
        let head = number % 4 == 3;
        let kind = if head { MessageKind::ResponseToHead } else { MessageKind::Response };
        let response = tokio::time::timeout(PATIENCE, reader.message(kind)).await.unwrap();
        let response = response.unwrap().unwrap();
        let status: &[u8] = if number % 3 == 2 { b"HTTP/1.1 204" } else { b"HTTP/1.1 200" };
        assert!(response.start.starts_with(status), "{number}: {response:?}");
        let body = if head || number % 3 == 2 { String::new() } else { format!("[{number}]") };
        assert_eq!(response.body, body, "{number}");
    }
    let asked: Vec<String> = upstream.requests().iter().map(|got| got.target.clone()).collect();
    assert_eq!(asked, (0..20).map(|number| format!("/{number}")).collect::<Vec<_>>());
    let events = proxy.analytics.events(20).await;
    assert_eq!(events.len(), 20);
}

#[tokio::test]
async fn a_pipeline_waits_for_the_stream_before_it_and_ends_with_its_client() {
    let (upstream, proxy) = proxy().await;
    let gate = Gate::new();
    upstream.answer(Answer::event_stream().chunk("data: 1\n\n").wait(&gate).chunk("data: 2\n\n"));
    let get = "GET /v1/x HTTP/1.1\r\nHost: here\r\n\r\n";
    let last = "GET /v1/last HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    let mut client = proxy.send(&format!("{get}{last}{get}")).await;
    read_until(&mut client, "data: 1\n\n\r\n").await;
    assert_eq!(upstream.requests().len(), 1, "the second one did not wait");
    gate.open();
    let text = rest(&mut client).await;
    assert!(
        text.contains("data: 2\n\n\r\n0\r\n\r\nHTTP/1.1 200") && text.ends_with("{}"),
        "{text}"
    );
    // What comes after `Connection: close` is not read (RFC 9112 9.6).
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks_and_its_connection_ends() {
    let (upstream, proxy) = proxy().await;
    for (answer, ends) in [
        (
            Answer::event_stream().chunk("data: 1\n\n").chunk("data: 2\n\n"),
            "data: 1\n\ndata: 2\n\n",
        ),
        (Answer::json("[1]"), "[1]"),
        (Answer::new(204), "\r\n\r\n"),
    ] {
        upstream.answer(answer);
        let mut client = proxy.send("GET /v1/x HTTP/1.0\r\nX-A: 1\r\n\r\n").await;
        let text = rest(&mut client).await;
        assert!(text.starts_with("HTTP/1.0 20"), "{text}");
        assert!(!text.to_lowercase().contains("transfer-encoding"), "{text}");
        assert!(text.ends_with(ends), "{text}");
        // The upstream is spoken to in HTTP/1.1 all the same (RFC 9110 2.5).
        let received = upstream.next_request().await;
        assert_eq!(received.version, http::Version::HTTP_11);
        assert_eq!(received.headers["host"], upstream.address().to_string());
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_may_ask_for_its_connection_to_stay() {
    let (upstream, proxy) = proxy().await;
    upstream.answer_always(Answer::json("{}"));
    let get = "GET /v1/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let mut client = proxy.send(get).await;
    for _ in 0..3 {
        let text = read_until(&mut client, "{}").await.to_lowercase();
        assert!(text.contains("connection: keep-alive"), "{text}");
        tokio::io::AsyncWriteExt::write_all(&mut client, get.as_bytes()).await.unwrap();
    }
    read_until(&mut client, "{}").await;
    // A body without a length has to end with the connection.
    upstream.answer(Answer::event_stream().chunk("data: 1\n\n"));
    tokio::io::AsyncWriteExt::write_all(&mut client, get.as_bytes()).await.unwrap();
    let text = rest(&mut client).await;
    assert!(text.ends_with("data: 1\n\n"), "{text}");
}

#[tokio::test]
async fn head_is_answered_as_get_without_a_body_and_the_connection_stays_in_step() {
    let (upstream, proxy) = proxy().await;
    upstream.answer(Answer::new(200).header("content-length", "1000").header("x-a", "1"));
    upstream.answer(Answer::event_stream());
    upstream.answer(Answer::json("{}"));
    let heads = "HEAD /v1/x HTTP/1.1\r\nHost: here\r\n\r\n".repeat(2);
    let client = proxy.send(&format!("{heads}GET /v1/x HTTP/1.1\r\nHost: here\r\n\r\n")).await;
    let mut reader = RawReader::new(client);
    let first = reader.message(MessageKind::ResponseToHead).await.unwrap().unwrap();
    assert_eq!(first.values("content-length"), ["1000"]);
    let second = reader.message(MessageKind::ResponseToHead).await.unwrap().unwrap();
    assert_eq!(second.values("content-type"), ["text/event-stream"]);
    let third = reader.message(MessageKind::Response).await.unwrap().unwrap();
    assert_eq!((third.framing, third.body.as_ref()), (Framing::Length, &b"{}"[..]));
}

#[tokio::test]
async fn options_of_the_server_itself_are_asked_upstream() {
    let (upstream, proxy) = proxy().await;
    let mut client =
        proxy.send("OPTIONS * HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await;
    let text = rest(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert_eq!(upstream.next_request().await.target, "*");
}

#[tokio::test]
async fn answers_of_modashs_own_leave_at_once_and_the_connection_stays() {
    let (upstream, proxy) = proxy().await;
    let mut client = proxy.send("").await;
    for _ in 0..2 {
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let answer = read_until(&mut client, "}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        client.write_all(b"GET http://there/ HTTP/1.1\r\nHost: there\r\n\r\n").await.unwrap();
        let answer = read_until(&mut client, "}}").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert_eq!(upstream.requests().len(), 0);
}
