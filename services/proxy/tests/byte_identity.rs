//! What comes through the proxy is, byte for byte, what comes without it: both
//! ways, for every recording in every coding, framing and cut.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use bytes::Bytes;
use modash_test_support::raw::{
    Came, Coding, Framing, RawAnswer, RawExchange, chunked, cut, framed, seeded_random,
};
use rand::Rng as _;
use support::identity::{comparison, equal, every_recording, exchange, random_exchange};

const GET: &str = "GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn every_recording_passes_in_every_coding_framing_and_cut() {
    let (mut comparison, _proxy) = comparison().await;
    every_recording(&mut comparison, &Coding::ALL, &mut seeded_random()).await;
}

#[tokio::test]
async fn random_exchanges_pass() {
    let mut random = seeded_random();
    let (mut comparison, _proxy) = comparison().await;
    for number in 0..500 {
        equal(&mut comparison, &random_exchange(number, &mut random)).await;
    }
}

#[tokio::test]
async fn bodies_of_all_sizes_pass_both_ways() {
    let mut random = seeded_random();
    let (mut comparison, _proxy) = comparison().await;
    for size in [0, 1, 1 << 10, 1 << 16, 1 << 20] {
        let mut body = vec![0; size];
        random.fill(&mut body[..]);
        let body = Bytes::from(body);
        for up in [Framing::Length, Framing::Chunked] {
            for down in [Framing::Length, Framing::Chunked, Framing::Close] {
                let (header, framed_body) = framed(&body, up, &mut random);
                let head = format!("POST /v1/files HTTP/1.1\r\nHost: here\r\n{header}\r\n");
                let request = [head.as_bytes(), &framed_body].concat();
                let (header, framed_body) = framed(&body, down, &mut random);
                let head = format!("HTTP/1.1 200 OK\r\nServer: raw\r\n{header}\r\n");
                let answer = [head.as_bytes(), &framed_body].concat();
                let exchange = RawExchange {
                    name: format!("{size} bytes, {up:?} up, {down:?} down"),
                    request: cut(&request.into(), &mut random),
                    answer: RawAnswer {
                        pieces: cut(&answer.into(), &mut random),
                        close: down == Framing::Close,
                    },
                };
                equal(&mut comparison, &exchange).await;
            }
        }
    }
}

#[tokio::test]
async fn heads_pass_with_every_oddity_that_http_allows() {
    let (mut comparison, _proxy) = comparison().await;
    let long = format!("X-Long: {}\r\n", "l".repeat(60_000));
    let cookies: String =
        (0..60).map(|n| format!("Set-Cookie: c{n}=\"{n}\"; Path=/\r\n")).collect();
    let odd = "x-lower: 1\r\nX-UPPER: 2\r\nx-MiXeD: 3\r\nX-Empty:\r\nX-Twice: a\r\nx-twice: b\r\n\
               X-Twice: \r\nX-Space: in  the   middle \r\nX-Colon: a:b: c\r\n_under: ok\r\n!#$%&'*+-.^_`|~: token\r\n";
    let obs = [b"X-Obs: caf\xe9 \xff\x80\r\nX-Utf8: ".as_slice(), "é🦀\r\n".as_bytes()].concat();
    for (name, headers) in [
        ("odd", odd.as_bytes()),
        ("obs-text", &obs),
        ("long", long.as_bytes()),
        ("cookies", cookies.as_bytes()),
    ] {
        let request = [
            b"POST /v1/chat/completions?a=%20b&c HTTP/1.1\r\nX-First: 1\r\nHost: here\r\n",
            headers,
            b"Content-Length: 2\r\nX-Last: 1\r\n\r\n{}",
        ]
        .concat();
        let answer =
            [b"HTTP/1.1 200 OK\r\n", headers, b"Content-Length: 2\r\nX-Last: 1\r\n\r\n{}"].concat();
        equal(&mut comparison, &exchange(name, request, answer)).await;
    }
}

#[tokio::test]
async fn the_reason_phrase_passes() {
    let (mut comparison, _proxy) = comparison().await;
    for line in
        ["200 OK", "200 Alright Then", "200 ", "404 Gone Fishing", "499 Client Left", "599 "]
    {
        let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
        equal(&mut comparison, &exchange(line, GET, answer)).await;
    }
}

#[tokio::test]
async fn equal_names_keep_their_places() {
    let (mut comparison, _proxy) = comparison().await;
    let headers = "A: 1\r\nB: 2\r\na: 3\r\nC: 4\r\nB: 5\r\nA: 6\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
    let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
    equal(&mut comparison, &exchange("equal names", request, answer)).await;
}

#[tokio::test]
async fn methods_and_targets_pass() {
    let (mut comparison, _proxy) = comparison().await;
    let targets = [
        "/",
        "/?",
        "//double//slash/",
        "/a/../b/./c",
        "/%2F%00%ff?%zz=%",
        "/a;b=c,d?x=[1]&y={2}|^`",
        "/q?a=b?c=d",
        "/quote\"'",
        "/v1/models?key=secret&key=again",
        "/caf\u{e9}",
    ];
    for target in targets {
        let request = format!("GET {target} HTTP/1.1\r\nHost: here\r\n\r\n");
        equal(&mut comparison, &exchange(target, request, OK)).await;
    }
    for method in
        ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get", "M-SEARCH"]
    {
        let request = format!("{method} /x HTTP/1.1\r\nHost: here\r\n\r\n");
        equal(&mut comparison, &exchange(method, request, OK)).await;
        let request = format!("{method} /x HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\nabc");
        equal(&mut comparison, &exchange(method, request, OK)).await;
        let request = format!(
            "{method} /x HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        );
        equal(&mut comparison, &exchange(method, request, OK)).await;
    }
}

#[tokio::test]
async fn answers_without_a_body_pass_with_the_length_they_tell() {
    let (mut comparison, _proxy) = comparison().await;
    let head = "HEAD /v1/models HTTP/1.1\r\nHost: here\r\n\r\n";
    let answers = [
        ("HEAD with a length", head, "200 OK\r\nA: 1\r\nContent-Length: 1234\r\nB: 2\r\n"),
        ("HEAD without", head, "200 OK\r\nA: 1\r\n"),
        ("HEAD, chunked", head, "200 OK\r\nTransfer-Encoding: chunked\r\n"),
        ("HEAD, an error", head, "404 Not Found\r\nContent-Length: 9\r\n"),
        ("204", GET, "204 No Content\r\nA: 1\r\n"),
        ("204 with a length", GET, "204 No Content\r\nContent-Length: 0\r\nA: 1\r\n"),
        ("304", GET, "304 Not Modified\r\nETag: \"x\"\r\n"),
        ("304 with a length", GET, "304 Not Modified\r\nContent-Length: 77\r\nETag: \"x\"\r\n"),
        ("empty", GET, "200 OK\r\nContent-Length: 0\r\nA: 1\r\n"),
        (
            "empty, POST",
            "POST / HTTP/1.1\r\nHost: here\r\n\r\n",
            "200 OK\r\nContent-Length: 0\r\nA: 1\r\n",
        ),
        ("reset content", GET, "205 Reset Content\r\ncontent-length: 0\r\n"),
    ];
    for (name, request, answer) in answers {
        let answer = format!("HTTP/1.1 {answer}\r\n");
        equal(&mut comparison, &exchange(name, request, answer)).await;
        // The connection is still in step.
        equal(&mut comparison, &exchange(name, GET, OK)).await;
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let mut random = seeded_random();
    let (mut comparison, _proxy) = comparison().await;
    let trailers = [("x-checksum", "abc"), ("x-time", "1"), ("x-time", "2")];
    let body = chunked(&["one".into(), "two".into()], &trailers, &mut random);
    let framing = "Trailer: x-checksum, x-time\r\nTransfer-Encoding: chunked\r\n";
    let request = [
        format!("POST / HTTP/1.1\r\nHost: here\r\nTE: trailers\r\nConnection: TE\r\n{framing}\r\n")
            .as_bytes(),
        &body,
    ]
    .concat();
    let answer = [format!("HTTP/1.1 200 OK\r\n{framing}\r\n").as_bytes(), &body].concat();
    let exchange = exchange("trailers", request, answer);
    let (direct, through) = comparison.both(&exchange).await.unwrap();
    assert_eq!(direct.response.trailers.len(), 3);
    through.request.must_equal(&direct.request).unwrap();
    through.response.must_equal(&direct.response).unwrap();
    // Or the upstream would not send any (RFC 9110 10.1.4).
    assert_eq!(through.request.values("te"), ["trailers"]);
    assert_eq!(through.request.values("connection"), ["TE"]);
}

#[tokio::test]
async fn trailers_pass_that_nobody_named_or_asked_for() {
    let mut random = seeded_random();
    let (mut comparison, _proxy) = comparison().await;
    let body = chunked(&["one".into()], &[("x-checksum", "abc")], &mut random);
    let answer = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &body[..]].concat();
    let (direct, through) = comparison.both(&exchange("", GET, answer)).await.unwrap();
    assert_eq!(direct.response.trailers.len(), 1);
    through.response.must_equal(&direct.response).unwrap();
    assert_eq!(through.request.values("te").len(), 0);
}

#[tokio::test]
async fn headers_of_one_hop_stay_on_their_hop() {
    let (mut comparison, _proxy) = comparison().await;
    let hop = "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX-Hop: 1\r\n\
               Connection: keep-alive, x-hop\r\nX-End: 1\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: here\r\n{hop}TE: gzip;q=0.5\r\n\r\n");
    let answer = format!("HTTP/1.1 200 OK\r\n{hop}Content-Length: 0\r\n\r\n");
    let (_, through) = comparison.both(&exchange("", request, answer)).await.unwrap();
    for message in [&through.request, &through.response] {
        for name in ["keep-alive", "proxy-connection", "x-hop", "te"] {
            assert!(message.values(name).is_empty(), "{name} in {message:?}");
        }
        assert_eq!(message.values("x-end"), ["1"]);
    }
}

#[tokio::test]
async fn an_old_upstream_is_answered_for_in_the_clients_version() {
    let (mut comparison, _proxy) = comparison().await;
    let answer =
        RawAnswer { pieces: vec!["HTTP/1.0 200 OK\r\nA: 1\r\n\r\nold".into()], close: true };
    let exchange = RawExchange { answer, ..exchange("1.0", GET, "") };
    let (_, Came { response, .. }) = comparison.both(&exchange).await.unwrap();
    assert_eq!(
        (response.start.as_ref(), response.body.as_ref()),
        (&b"HTTP/1.1 200 OK"[..], &b"old"[..])
    );
    assert_eq!(response.framing, Framing::Close);
}
