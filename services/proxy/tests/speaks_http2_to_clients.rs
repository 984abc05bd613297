//! HTTP/2 to clients, by the frame: what RFC 9113 wants of a server, as far as it
//! matters to a proxy, and floods.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use bytes::Bytes;
use modash_test_support::{Answer, FakeUpstream, Gate};
use support::{
    PATIENCE, TestProxy,
    frames::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GOAWAY,
        HEADERS, PING, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, block, request,
    },
};

/// Requests that a connection may carry at a time.
const MOST_STREAMS: u32 = 256;

const WHOLE: u8 = END_HEADERS | END_STREAM;

async fn proxy() -> (FakeUpstream, TestProxy) {
    let upstream = FakeUpstream::start().await;
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.threads = 1;
    })
    .await;
    (upstream, proxy)
}

/// That the connection still serves.
async fn still_serves(client: &mut Frames, stream: u32) {
    client.add(HEADERS, WHOLE, stream, &request("GET", "/v1/models", &[])).send().await;
    assert_eq!(client.body(stream).await, "{}");
}

#[tokio::test]
async fn what_is_not_known_is_ignored() {
    let (_upstream, proxy) = proxy().await;
    // A setting that nobody knows, and one of the extensions that servers may skip.
    let mut client = Frames::open(proxy.address, &[(0xff, 7), (0x9, 1)]).await;
    client.add(0x42, 0xff, 0, b"what").add(0xfa, 1, 7, b"");
    client.add(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]);
    client.add(HEADERS, END_HEADERS, 1, &request("POST", "/v1/x", &[]));
    client.add(0x42, 0, 1, b"in the middle").add(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
    client.add(DATA, END_STREAM, 1, b"{}").send().await;
    assert_eq!(client.body(1).await, "{}");
    client.add(PING, 0, 0, b"12345678").send().await;
    let pong = client.until(PING, 0).await;
    assert_eq!((pong.flags, pong.payload.as_ref()), (ACK, &b"12345678"[..]));
    still_serves(&mut client, 3).await;
}

#[tokio::test]
async fn a_head_may_come_in_many_frames() {
    let (upstream, proxy) = proxy().await;
    let mut client = Frames::open(proxy.address, &[]).await;
    let long = "l".repeat(9_000);
    let head = request("POST", "/v1/x?a=b", &[("x-long", &long), ("x-last", "1")]);
    let (first, rest) = head.split_at(5);
    client.add(HEADERS, END_STREAM, 1, first);
    for piece in rest.chunks(3_000) {
        client.add(CONTINUATION, 0, 1, piece);
    }
    client.add(CONTINUATION, END_HEADERS, 1, &[]).send().await;
    assert_eq!(client.body(1).await, "{}");
    let received = upstream.next_request().await;
    assert_eq!(
        (received.target.as_str(), &received.headers["x-last"]),
        ("/v1/x?a=b", &"1".parse().unwrap())
    );
    assert_eq!(received.headers["x-long"], long.as_str());
}

#[tokio::test]
async fn no_more_is_sent_than_the_client_has_room_for() {
    let (upstream, proxy) = proxy().await;
    let body = Bytes::from(vec![b'x'; 100_000]);
    upstream.answer_always(Answer::json(body.clone()));
    // SETTINGS_INITIAL_WINDOW_SIZE: ten bytes for each stream.
    let mut client = Frames::open(proxy.address, &[(4, 10)]).await;
    client.add(HEADERS, WHOLE, 1, &request("GET", "/v1/x", &[])).send().await;
    client.until(HEADERS, 1).await;
    let mut came = 0;
    for room in [10, 1, 16_384, 30_000] {
        if came > 0 {
            client.add(WINDOW_UPDATE, 0, 1, &u32::to_be_bytes(room)).send().await;
        }
        let mut left = room as usize;
        while left > 0 {
            let data = client.until(DATA, 1).await;
            assert!(data.payload.len() <= left, "{} bytes into {left}", data.payload.len());
            left -= data.payload.len();
            came += data.payload.len();
        }
        // Nothing beyond it comes before an answer to this.
        client.add(PING, 0, 0, b"anything").send().await;
        assert_eq!(client.next().await.unwrap().kind, PING);
    }
    // The connection's own room, 65,535 bytes, is used up by several streams.
    client.add(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).send().await;
    let mut rest = 65_535 - came;
    while rest > 0 {
        let data = client.until(DATA, 1).await;
        rest = rest.checked_sub(data.payload.len()).expect("beyond the connection's room");
    }
    client.add(WINDOW_UPDATE, 0, 0, &u32::to_be_bytes(100_000));
    client.add(WINDOW_UPDATE, 0, 1, &u32::to_be_bytes(100_000)).send().await;
    let mut left = 100_000 - 65_535;
    while left > 0 {
        left -= client.until(DATA, 1).await.payload.len();
    }
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_may_be_sent_again() {
    let (upstream, proxy) = proxy().await;
    let gate = Gate::new();
    upstream.answer_always(Answer::json("{}").hold_head(&gate));
    let mut client = Frames::open(proxy.address, &[]).await;
    for number in 0..=MOST_STREAMS {
        client.add(HEADERS, WHOLE, 2 * number + 1, &request("GET", "/v1/x", &[]));
    }
    client.send().await;
    assert_eq!(client.until(RST_STREAM, 2 * MOST_STREAMS + 1).await.code(), REFUSED_STREAM);
    gate.open();
    // The others end in any order.
    for _ in 0..MOST_STREAMS {
        loop {
            let frame = client.next().await.unwrap();
            assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
    }
    still_serves(&mut client, 2 * MOST_STREAMS + 3).await;
}

#[tokio::test]
async fn a_client_that_goes_away_gets_what_it_asked_for() {
    let (upstream, proxy) = proxy().await;
    let gate = Gate::new();
    upstream.answer(Answer::event_stream().chunk("data: 1\n\n").wait(&gate).chunk("data: 2\n\n"));
    let mut client = Frames::open(proxy.address, &[]).await;
    client.add(HEADERS, WHOLE, 1, &request("GET", "/v1/x", &[])).send().await;
    client.until(DATA, 1).await;
    client.add(GOAWAY, 0, 0, &[0; 8]).send().await;
    gate.open();
    assert_eq!(client.until(DATA, 1).await.payload, "data: 2\n\n");
}

#[tokio::test]
async fn a_stop_says_goaway_and_lets_streams_end() {
    let (upstream, proxy) = proxy().await;
    let gate = Gate::new();
    upstream.answer(Answer::event_stream().chunk("data: 1\n\n").wait(&gate).chunk("data: 2\n\n"));
    let mut client = Frames::open(proxy.address, &[]).await;
    client.add(HEADERS, WHOLE, 1, &request("GET", "/v1/x", &[])).send().await;
    client.until(DATA, 1).await;
    proxy.context.shutdown.request();
    assert_eq!(client.until(GOAWAY, 0).await.code(), 0);
    // The ping with which hyper makes sure that the client knows of it.
    let ping = client.until(PING, 0).await;
    client.add(PING, ACK, 0, &ping.payload).send().await;
    let last = client.until(GOAWAY, 0).await;
    assert_eq!((last.code(), &last.payload[..4]), (0, &[0, 0, 0, 1][..]));
    gate.open();
    let mut body = Vec::new();
    while let Some(frame) = client.next().await {
        if frame.kind == DATA {
            body.extend_from_slice(&frame.payload);
        }
    }
    assert_eq!(body, b"data: 2\n\n");
    proxy.running.await.unwrap().unwrap();
}

/// Each of them is malformed (RFC 9113 8.1.1): the stream ends, or its
/// connection, and the upstream sees nothing of it.
#[tokio::test]
async fn a_malformed_request_ends_its_stream_and_is_not_forwarded() {
    let (upstream, proxy) = proxy().await;
    let mut client = Frames::open(proxy.address, &[]).await;
    let with = |field: (&str, &str)| request("POST", "/v1/x", &[field]);
    let heads = [
        ("connection", with(("connection", "close"))),
        ("keep-alive", with(("keep-alive", "timeout=5"))),
        ("proxy-connection", with(("proxy-connection", "close"))),
        ("transfer-encoding", with(("transfer-encoding", "chunked"))),
        ("upgrade", with(("upgrade", "websocket"))),
        ("upper case", with(("X-Upper", "1"))),
        ("no name", with(("", "1"))),
        ("a line end in a value", with(("x-a", "1\r\nx-b: 2"))),
        ("a line end in a name", with(("x-a: 1\r\nx-b", "2"))),
        ("a second path", with((":path", "/v1/y"))),
        ("a pseudo-header of responses", with((":status", "200"))),
        ("no path", block(&[(":method", "GET"), (":scheme", "http"), (":authority", "here")])),
        ("an empty path", request("GET", "", &[])),
        ("a path with a space", request("GET", "/a b", &[])),
        ("a path with a line end", request("GET", "/ HTTP/1.1\r\nHost: x\r\n\r\n", &[])),
        ("two lengths", request("POST", "/", &[("content-length", "1"), ("content-length", "2")])),
        ("no method", block(&[(":scheme", "http"), (":authority", "here"), (":path", "/")])),
        ("a method with a space", request("G ET", "/", &[])),
    ];
    let mut stream = 1;
    for (name, head) in &heads {
        client.add(HEADERS, WHOLE, stream, head).send().await;
        let answer = tokio::time::timeout(PATIENCE, client.next()).await;
        let answer = answer.unwrap_or_else(|_| panic!("{name}: no answer"));
        let answer = answer.unwrap_or_else(|| panic!("{name}: the connection ended"));
        let refused = answer.kind == RST_STREAM && answer.code() == PROTOCOL_ERROR;
        // `:status 400` of the static table.
        let bad = answer.kind == HEADERS && answer.payload[0] == 0x8c;
        // A stream's error may be taken for one of its connection (RFC 9113 5.4.2).
        let away = answer.kind == GOAWAY && answer.code() == PROTOCOL_ERROR;
        assert!(refused || bad || away, "{name}: {answer:?}");
        stream += 2;
        if away {
            client = Frames::open(proxy.address, &[]).await;
            stream = 1;
        }
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
    still_serves(&mut client, stream).await;
}

/// A length that lies must not tear the framing of an HTTP/1.1 connection to the
/// upstream.
#[tokio::test]
async fn a_body_that_is_not_as_long_as_told_is_not_taken_for_whole() {
    let (upstream, proxy) = proxy().await;
    let mut client = Frames::open(proxy.address, &[]).await;
    for (number, (length, body)) in [("10", "123"), ("3", "0123456789")].into_iter().enumerate() {
        let stream = 2 * u32::try_from(number).unwrap() + 1;
        let head = request("POST", "/v1/x", &[("content-length", length)]);
        client.add(HEADERS, END_HEADERS, stream, &head);
        client.add(DATA, END_STREAM, stream, body.as_bytes()).send().await;
        let reset = client.until(RST_STREAM, stream).await;
        assert_eq!(reset.code(), PROTOCOL_ERROR, "{length}");
    }
    for received in upstream.requests() {
        let body = tokio::time::timeout(PATIENCE, received.body()).await.unwrap();
        assert_eq!(body, None, "it looks whole");
    }
    still_serves(&mut client, 5).await;
}

/// The whole connection ends when its framing is wrong (RFC 9113 5.4.1).
#[tokio::test]
async fn wrong_framing_ends_the_connection_with_a_reason() {
    let (_upstream, proxy) = proxy().await;
    let cases: [(&str, u8, u32, &[u8]); 7] = [
        ("DATA on no stream", DATA, 0, b"x"),
        ("DATA on an idle stream", DATA, 7, b"x"),
        ("an even stream", HEADERS, 2, &[0x82]),
        ("a window of nothing", WINDOW_UPDATE, 0, &[0, 0, 0, 0]),
        ("a ping of seven bytes", PING, 0, b"1234567"),
        ("settings of five bytes", SETTINGS, 0, b"12345"),
        ("a continuation of nothing", CONTINUATION, 1, &[0x82]),
    ];
    for (name, kind, stream, payload) in cases {
        let mut client = Frames::open(proxy.address, &[]).await;
        client.add(kind, 0, stream, payload).send().await;
        assert_ne!(client.until(GOAWAY, 0).await.code(), 0, "{name}");
        assert!(client.next().await.is_none(), "{name}: the connection goes on");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_and_the_connection_goes_on() {
    let (upstream, proxy) = proxy().await;
    let mut client = Frames::open(proxy.address, &[]).await;
    let long = "l".repeat(8_000);
    let names: Vec<String> = (0..11).map(|number| format!("x-{number}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), &long[..])).collect();
    let head = request("POST", "/v1/x", &fields);
    for (number, piece) in head.chunks(16_000).enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let flags = if number == 0 { END_STREAM } else { 0 };
        client.add(kind, flags, 1, piece);
    }
    client.add(CONTINUATION, END_HEADERS, 1, &[]).send().await;
    let answer = client.until(HEADERS, 1).await;
    // `:status` by its place in the static table, then "431" in Huffman's code (RFC
    // 7541 B).
    assert_eq!(&answer.payload[..5], [0x48, 0x83, 0x69, 0x90, 0xff], "{answer:?}");
    assert!(upstream.requests().is_empty());
    still_serves(&mut client, 3).await;
}

#[tokio::test]
async fn floods_end_their_connection_and_nothing_else() {
    let (upstream, proxy) = proxy().await;
    upstream.answer_always(Answer::json("{}"));
    let mut other = Frames::open(proxy.address, &[]).await;
    still_serves(&mut other, 1).await;

    // Streams that are reset as soon as they are open (CVE-2023-44487).
    let mut client = Frames::open(proxy.address, &[]).await;
    for number in 0..5_000 {
        client.add(HEADERS, WHOLE, 2 * number + 1, &request("GET", "/v1/x", &[]));
        client.add(RST_STREAM, 0, 2 * number + 1, &[0, 0, 0, 8]);
    }
    client.send().await;
    assert_eq!(client.until(GOAWAY, 0).await.code(), ENHANCE_YOUR_CALM);
    let asked = upstream.requests().len();
    println!("{asked} of 5000 requests that were reset at once reached the upstream");
    assert!(asked < 1_000, "{asked}");

    // A head without an end.
    let mut client = Frames::open(proxy.address, &[]).await;
    client.add(HEADERS, END_STREAM, 1, &request("GET", "/v1/x", &[]));
    for _ in 0..2_000 {
        client.add(CONTINUATION, 0, 1, &block(&[("x-more", &"m".repeat(1_000))]));
    }
    client.send().await;
    assert_ne!(client.until(GOAWAY, 0).await.code(), 0);

    still_serves(&mut other, 3).await;
}
