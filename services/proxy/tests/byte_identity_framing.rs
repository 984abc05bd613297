//! HTTP/1.1 to HTTP/1.1 passes as bytes: not only what messages mean, but how they
//! were written.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use modash_proxy::StreamUsage;
use modash_test_support::{Answer, FakeUpstream};
use support::{PATIENCE, TestProxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Reads exactly these bytes.
async fn expect(stream: &mut TcpStream, expected: &[u8], what: &str) {
    let mut got = vec![0; expected.len()];
    let mut length = 0;
    while length < got.len() {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut got[length..])).await;
        let read = read.map_or(0, |read| read.unwrap_or(0));
        if read == 0 {
            break;
        }
        length += read;
    }
    assert_eq!(
        got[..length].escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "{what}"
    );
}

/// Pieces of these lengths, in turn.
async fn write(stream: &mut TcpStream, bytes: &[u8], size: usize) {
    for piece in bytes.chunks(size) {
        stream.write_all(piece).await.unwrap();
        if size < 100 {
            tokio::task::yield_now().await;
        }
    }
}

const CHUNKS: &[u8] = b"5;a=\"b;c\";d\r\nhello\r\n00003\r\nabc\r\nA\r\n0123456789\r\n0;last\r\n\
                        X-Sum:  1 \r\nx-sum: 2\r\nY:\r\n\r\n";

#[tokio::test]
async fn chunks_extensions_trailers_and_lines_pass_as_they_were_written() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    let host = listener.local_addr().unwrap();
    let lines = "X-Odd:   a  b \t\r\nCookie: a\r\nAccept:*/*\r\ncookie:  b\r\n";
    let up = |host: &str| {
        let head = format!(
            "POST /v1/x?<a>=\"b\" HTTP/1.1\r\nHost: {host}\r\n{lines}Transfer-Encoding:  Chunked\r\n\r\n"
        );
        [head.as_bytes(), CHUNKS].concat()
    };
    let down = [
        b"HTTP/1.1 200  Sehr gut \xe9\r\nSet-Cookie: a\r\nX:1\r\nset-cookie: b\r\ntransfer-encoding: chunked\r\n\r\n",
        CHUNKS,
    ]
    .concat();
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    client.set_nodelay(true).unwrap();
    for size in [100_000, 7, 1] {
        write(&mut client, &up("here"), size).await;
        // A connection that served a stream rests.
        let (mut upstream, _) = listener.accept().await.unwrap();
        upstream.set_nodelay(true).unwrap();
        expect(&mut upstream, &up(&host.to_string()), "the request").await;
        write(&mut upstream, &down, size).await;
        expect(&mut client, &down, "the response").await;
    }
    let events = proxy.analytics.events(3).await;
    assert!(events.iter().all(|event| (event.request_bytes, event.response_bytes) == (18, 18)));
}

#[tokio::test]
async fn interim_responses_pass_with_their_spelling() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    let mut client = proxy.send("GET / HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    let answer = b"HTTP/1.1 103 Fruehe Hinweise\r\nLINK: </a>\r\nX: 1\r\nLink:</b>\r\n\r\n\
                   HTTP/1.1 102 \r\n\r\nHTTP/1.1 200\r\nContent-Length: 2\r\nA:  b\r\n\r\n{}";
    upstream.write_all(answer).await.unwrap();
    expect(&mut client, answer, "the responses").await;
}

#[tokio::test]
async fn a_body_without_an_end_ends_with_both_connections() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    let mut client = proxy.send("GET / HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    // What is unread when a socket closes resets the connection.
    support::read_until(&mut upstream, "\r\n\r\n").await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\nuntil ").await.unwrap();
    let head = b"HTTP/1.1 200 OK\r\nA: 1\r\nconnection: close\r\n\r\n";
    expect(&mut client, head, "the head").await;
    expect(&mut client, b"until ", "what came").await;
    upstream.write_all(b"close").await.unwrap();
    drop(upstream);
    expect(&mut client, b"close", "the rest").await;
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

/// What is less than it says must not look whole.
#[tokio::test]
async fn a_body_without_an_end_that_broke_off_is_reset() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    let mut client = proxy.send("GET / HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    upstream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil ").await.unwrap();
    expect(&mut client, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil ", "what came").await;
    upstream.set_zero_linger().unwrap();
    drop(upstream);
    let end = client.read(&mut [0]).await;
    assert!(end.is_err(), "{end:?}");
}

/// What came in one read leaves in one write: what was written once is read at once.
#[tokio::test]
async fn a_head_leaves_in_one_write_with_what_came_of_its_body() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    let ask = b"POST /v1/x HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}";
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[{}]";
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    let mut upstream = None;
    for _ in 0..20 {
        client.write_all(ask).await.unwrap();
        let upstream = match &mut upstream {
            Some(upstream) => upstream,
            none => none.insert(listener.accept().await.unwrap().0),
        };
        let mut read = [0; 1000];
        let length = upstream.read(&mut read).await.unwrap();
        assert_eq!(read[..length].escape_ascii().to_string().matches("{}").count(), 1);
        upstream.write_all(answer).await.unwrap();
        let length = client.read(&mut read).await.unwrap();
        assert_eq!(read[..length].escape_ascii().to_string(), answer.escape_ascii().to_string());
    }
}

/// Nothing that an upstream says beyond its answer belongs to the next one.
#[tokio::test]
async fn what_comes_behind_an_answer_is_nobodys() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    let get = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    for _ in 0..2 {
        client.write_all(get).await.unwrap();
        let (mut upstream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 1000];
        assert!(upstream.read(&mut asked).await.unwrap() > 0);
        upstream
            .write_all(&[&ok[..], b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat())
            .await
            .unwrap();
        expect(&mut client, ok, "the answer").await;
    }
}

/// Answers in each framing, up to their last byte.
const ANSWERS: [(&str, &str); 6] = [
    ("GET", "200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("GET", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    ("GET", "200 OK\r\n\r\n{}"),
    ("GET", "204 No Content\r\n\r\n"),
    ("HEAD", "200 OK\r\nContent-Length: 2\r\n\r\n"),
    ("GET", "304 Not Modified\r\n\r\n"),
];

/// A proxy that is killed afterwards has lost nothing that its client knows of.
#[tokio::test]
async fn a_client_has_the_last_byte_only_after_the_request_is_recorded() {
    let (proxy, listener) = TestProxy::before_listener(|_| ()).await;
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut upstream, _) = listener.accept().await.unwrap();
            support::read_until(&mut upstream, "\r\n\r\n").await;
            let answer = format!("HTTP/1.1 {}", ANSWERS[turn % ANSWERS.len()].1);
            upstream.write_all(answer.as_bytes()).await.unwrap();
            // Each request gets a connection of its own.
            upstream.shutdown().await.unwrap();
        }
    });
    for turn in 0..60 {
        let (method, answer) = ANSWERS[turn % ANSWERS.len()];
        let request = format!("{method} / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        let mut client = proxy.send(&request).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let got = support::read_until(&mut client, &format!("\r\n\r\n{body}")).await;
        if answer == "200 OK\r\n\r\n{}" {
            // It ends with its connection.
            client.read_to_end(&mut Vec::new()).await.unwrap();
        }
        assert!(got.starts_with(&format!("HTTP/1.1 {}", &answer[..3])), "{got}");
        // Without a wait.
        assert_eq!(proxy.counter("requests_finished").await, turn as u64 + 1, "{answer}");
    }
}

/// One connection of a client: to an upstream of HTTP/1.1 as it came, to
/// one of HTTP/2, changed by `inject`, and as it came again.
#[tokio::test]
async fn the_way_is_chosen_for_each_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap();
    let other = FakeUpstream::start().await;
    other.answer_always(Answer::json("{}"));
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{host}").parse().unwrap());
        let (h2c, plain) = (format!("h2c://{}", other.address()), other.url());
        config.named_upstreams = vec![
            ("second".to_owned(), h2c.parse().unwrap()),
            ("asked".to_owned(), plain.parse().unwrap()),
        ];
        config.stream_usage = StreamUsage::Inject;
        config.threads = 1;
    })
    .await;
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    let down =
        [&b"HTTP/1.1 200  Sehr gut\r\nX:  1\r\nTransfer-Encoding: chunked\r\n\r\n"[..], CHUNKS]
            .concat();
    let stream = r#"{"model":"m","stream":true,"messages":[]}"#;
    for _ in 0..2 {
        client.write_all(b"GET /a?<b> HTTP/1.1\r\nHOST: here\r\n\r\n").await.unwrap();
        let (mut upstream, _) = listener.accept().await.unwrap();
        let request = format!("GET /a?<b> HTTP/1.1\r\nHOST: {host}\r\n\r\n");
        expect(&mut upstream, request.as_bytes(), "the request").await;
        upstream.write_all(&down).await.unwrap();
        expect(&mut client, &down, "the response").await;
        for (name, version) in
            [("second", http::Version::HTTP_2), ("asked", http::Version::HTTP_11)]
        {
            let request = format!(
                "POST /{name}/v1/chat/completions HTTP/1.1\r\nHost: here\r\n\
                 Content-Length: {}\r\n\r\n{stream}",
                stream.len()
            );
            client.write_all(request.as_bytes()).await.unwrap();
            let answer = support::read_until(&mut client, "{}").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            let asked = other.next_request().await;
            assert_eq!((asked.version, asked.target.as_str()), (version, "/v1/chat/completions"));
            let body = asked.body().await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.contains("include_usage"), "{body}");
        }
    }
    let events = proxy.analytics.events(6).await;
    assert!(events.iter().all(|event| event.status == Some(200)), "{events:#?}");
}

/// What hyper cannot read it never sees.
#[tokio::test]
async fn a_target_that_is_no_uri_is_refused_in_words_before_http2() {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("h2c://{}", upstream.address()).parse().unwrap());
    })
    .await;
    let mut client = proxy.send("GET /<b> HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let answer = support::read_until(&mut client, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("target"), "{answer}");
    assert_eq!(upstream.requests().len(), 0);
}
