//! Requests that two servers may read in two ways, and heads that hyper does not
//! take: each gets an answer that says what is wrong, nothing reaches the
//! upstream, and the connection ends.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use modash_test_support::{Answer, FakeUpstream};
use support::{PATIENCE, TestProxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Sends bytes, never ends, and reads to the end.
async fn answers(proxy: &TestProxy, bytes: &[u8]) -> String {
    let connection = TcpStream::connect(proxy.address).await.unwrap();
    let (mut reader, mut writer) = connection.into_split();
    let mut answer = Vec::new();
    let send = async {
        // It may be cut off.
        let _ = writer.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = send => {}
        read = timeout(PATIENCE, reader.read_to_end(&mut answer)) => {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
            assert!(read.is_ok(), "the connection does not end after {shown:?}");
            read.unwrap().unwrap_or_else(|error| panic!("{error} after {shown:?}"));
        }
    }
    String::from_utf8(answer).unwrap()
}

/// Asserts one whole answer of modash's own.
fn assert_refused(answer: &str, status: &str, message: &str) {
    let answered = answer.split_once("\r\n\r\n");
    let (head, body) = answered.unwrap_or_else(|| panic!("{answer:?} where {message:?} belongs"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert!(head.contains("connection: close"), "{answer}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    assert!(body.starts_with(r#"{"error":{"#) && body.contains(message), "{answer}");
}

const HOST: &str = "Host: here\r\n";
const LENGTH: &str = "Content-Length: 6\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

#[tokio::test]
async fn what_two_servers_may_read_in_two_ways_is_answered_in_words_and_not_forwarded() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let post = |headers: &[&str], body: &str| {
        format!("POST /v1/chat/completions HTTP/1.1\r\n{}\r\n{body}", headers.concat())
    };
    let cases = [
        (post(&[HOST, LENGTH, CHUNKED], "0\r\n\r\nG"), "400", "both content-length and transfer"),
        (post(&[HOST, CHUNKED, LENGTH], "0\r\n\r\nG"), "400", "both content-length and transfer"),
        (post(&[HOST, LENGTH, "content-length: 6\r\n"], "abcdef"), "400", "content-length more"),
        (post(&[HOST, LENGTH, "content-length: 7\r\n"], "abcdef"), "400", "content-length more"),
        (post(&[HOST, CHUNKED, "Transfer-Encoding: identity\r\n"], ""), "400", "more than once"),
        (post(&[HOST, "Content-Length: 6, 6\r\n"], "abcdef"), "400", "not valid"),
        (post(&[HOST, "Content-Length: +6\r\n"], "abcdef"), "400", "not valid"),
        (post(&[HOST, "Content-Length: 0x6\r\n"], "abcdef"), "400", "not valid"),
        (post(&[HOST, "Content-Length: -1\r\n"], "abcdef"), "400", "not valid"),
        (post(&[HOST, "Content-Length : 6\r\n"], "abcdef"), "400", "not valid"),
        (post(&[HOST, "Content-Length\r\n"], "abcdef"), "400", "not valid"),
        (post(&[HOST, "Transfer-Encoding: xchunked\r\n"], "0\r\n\r\n"), "400", "not valid"),
        (post(&[HOST, "X: y\r\n z\r\n"], ""), "400", "next line"),
        (post(&[HOST, "X: y\r\n\tchunked\r\n"], ""), "400", "next line"),
        (post(&[HOST, "X: y\nContent-Length: 6\r\n"], "abcdef"), "400", "without CR"),
        (post(&[HOST, "X: a\rb\r\n"], ""), "400", "not valid"),
        (post(&[HOST, "X: a\0b\r\n"], ""), "400", "not valid"),
        (post(&[HOST, ": y\r\n"], ""), "400", "not valid"),
        (post(&[HOST, "X\u{e9}: y\r\n"], ""), "400", "not valid"),
        (post(&[HOST, "Host: there\r\n"], ""), "400", "host more than once"),
        (post(&[LENGTH], "abcdef"), "400", "no host header"),
        ("GET /v1/models HTTP/1.1\nHost: here\n\n".to_owned(), "400", "without CR"),
        ("GET  /v1/models HTTP/1.1\r\nHost: here\r\n\r\n".to_owned(), "400", "not valid"),
        ("GET /v1/mod els HTTP/1.1\r\nHost: here\r\n\r\n".to_owned(), "400", "not valid"),
        ("G@T /v1/models HTTP/1.1\r\nHost: here\r\n\r\n".to_owned(), "400", "not valid"),
        ("GET /v1/models HTTP/3.1\r\nHost: here\r\n\r\n".to_owned(), "400", "not valid"),
        ("hello\r\n\r\n".to_owned(), "400", "not valid"),
        ("\x16\x03\x01\x02\0\x01\0\x01".to_owned(), "400", "without TLS"),
    ];
    for (bytes, status, message) in &cases {
        assert_refused(&answers(&proxy, bytes.as_bytes()).await, status, message);
    }
    assert_eq!(upstream.requests().len(), 0);
    proxy.counted("requests_refused", cases.len() as u64).await;
}

#[tokio::test]
async fn heads_without_end_are_answered_with_what_is_too_long() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let many: String = (0..101).map(|number| format!("X-{number}: y\r\n")).collect();
    let long = "a".repeat(500_000);
    for (bytes, status, message) in [
        (format!("GET /{long} HTTP/1.1\r\n"), "414", "request line is longer than 32 KiB"),
        (format!("GET / HTTP/1.1\r\nHost: here\r\nX: {long}"), "431", "larger than 80 KiB"),
        (
            format!("GET / HTTP/1.1\r\nHost: here\r\n{}", "X: y\r\n".repeat(20_000)),
            "431",
            "larger than 80 KiB",
        ),
        (format!("GET / HTTP/1.1\r\nHost: here\r\n{many}\r\n"), "431", "more than 100 headers"),
    ] {
        assert_refused(&answers(&proxy, bytes.as_bytes()).await, status, message);
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_bad_request_behind_good_ones_is_refused_after_their_answers() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json("{}"));
    let proxy = TestProxy::start(&upstream).await;
    let good = "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}";
    let chunked = "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n\
                   Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let bad = "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\
               Transfer-Encoding: chunked\r\n\r\n";
    let all = answers(&proxy, [good, chunked, bad, good].concat().as_bytes()).await;
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 2, "{all}");
    let last = all.rfind("HTTP/1.1 ").unwrap();
    assert_refused(&all[last..], "400", "both content-length and transfer-encoding");
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_broken_chunk_ends_the_request_and_is_not_repaired() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    for chunk in
        ["x\r\n", "-1\r\n", "2\n{}\r\n", "10000000000000000\r\n", "2\r\n{}0\r\n", "2 x\r\n"]
    {
        let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        let answer = answers(&proxy, format!("{head}{chunk}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{chunk:?}: {answer:?}");
        assert!(answer.contains("the request body broke off"), "{chunk:?}: {answer:?}");
    }
}

#[tokio::test]
async fn an_upgrade_to_http2_in_mid_connection_is_not_handed_on() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Answer::json("{}"));
    let proxy = TestProxy::start(&upstream).await;
    let request = "GET /v1/models HTTP/1.1\r\nHost: here\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n";
    let answer = proxy.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let received = upstream.next_request().await;
    for name in ["upgrade", "http2-settings", "connection"] {
        assert!(received.headers.get(name).is_none(), "{name} in {:?}", received.headers);
    }
}

#[tokio::test]
async fn what_looks_like_a_bad_head_in_a_body_is_a_body() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json("{}"));
    let proxy = TestProxy::start(&upstream).await;
    let body = "GET / HTTP/1.1\nContent-Length: 1\nTransfer-Encoding: chunked\n\n\0";
    let plain = format!(
        "POST /v1/a HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let chunked = format!(
        "POST /v1/a HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
         \r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let all = answers(&proxy, [plain, chunked].concat().as_bytes()).await;
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 2, "{all}");
    for request in upstream.requests() {
        assert_eq!(request.body().await.unwrap(), body.as_bytes());
    }
}

const SMUGGLED: &str = "POST /smuggled HTTP/1.1\r\nHost: here\r\nContent-Length: 6\r\n\
                        Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

#[tokio::test]
async fn what_follows_an_upgrade_that_was_not_granted_is_guarded() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    for first in [
        "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: anything\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: here\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let answer = answers(&proxy, format!("{first}{SMUGGLED}").as_bytes()).await;
        let refusal = answer.find("HTTP/1.1 400").unwrap_or_else(|| panic!("{first}: {answer}"));
        assert_refused(&answer[refusal..], "400", "both content-length and transfer-encoding");
    }
    assert!(upstream.requests().iter().all(|request| request.target == "/"));
}

#[tokio::test]
async fn what_follows_a_501_is_guarded() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let first = "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: gzip, chunked\r\n\r\n\
                 2\r\n{}\r\n0\r\n\r\n";
    let answer = answers(&proxy, format!("{first}{SMUGGLED}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
    if let Some(refusal) = answer.find("HTTP/1.1 400") {
        assert_refused(&answer[refusal..], "400", "both content-length and transfer-encoding");
    }
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1 + answer.matches("HTTP/1.1 400").count());
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
}

#[tokio::test]
async fn a_header_of_64_kib_passes_both_ways() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start(&upstream).await;
    let large = "a".repeat(64 * 1024);
    upstream.answer_always(Answer::json("{}").header("x-large", &large));
    let request = format!(
        "GET /v1/models HTTP/1.1\r\nHost: here\r\nConnection: close\r\nX-Large: {large}\r\n\r\n"
    );
    let answer = answers(&proxy, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..answer.len().min(300)]);
    assert!(answer.contains(&large), "the response's header is cut");
    assert_eq!(upstream.requests()[0].headers["x-large"], large.as_str());
}
