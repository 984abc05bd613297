//! What comes through the proxy is what comes without it, with HTTP/2 on either
//! side or both: compared with HTTP/2 to the upstream itself.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::{io, net::SocketAddr};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::BoxBody};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use modash_test_support::{
    Answer, FakeUpstream,
    raw::{Coding, Recording, cut, recordings, seeded_random},
};
use rand::{Rng as _, rngs::StdRng};
use support::streaming::{Version, WAYS, proxy_before};
use tokio::net::TcpStream;

type Headers = Vec<(String, String)>;

/// One exchange, in no version of HTTP.
#[derive(Clone, Default)]
struct Exchange {
    name: String,
    method: String,
    target: String,
    request: Headers,
    up: Vec<Bytes>,
    up_trailers: Option<Headers>,
    status: u16,
    response: Headers,
    down: Vec<Bytes>,
    down_trailers: Option<Headers>,
}

/// What came of it at one end.
#[derive(Debug, PartialEq)]
struct Message {
    start: String,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
    trailers: Vec<(String, Bytes)>,
}

fn pairs(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    // Those of one hop, and those that tell the framing of HTTP/1.1.
    let hop = ["host", "connection", "te", "transfer-encoding"];
    // hyper's HTTP/2 client adds a length of 0 where HTTP/1.1 has none.
    let empty = |(name, value): &(&http::HeaderName, &http::HeaderValue)| {
        *name == http::header::CONTENT_LENGTH && *value == "0"
    };
    let headers = headers.iter().filter(|(name, _)| !hop.contains(&name.as_str()));
    let headers = headers.filter(|pair| !empty(pair));
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), Bytes::copy_from_slice(value.as_bytes()))
    };
    headers.map(pair).collect()
}

fn header_map(headers: &Headers) -> HeaderMap {
    let pairs = headers.iter().map(|(name, value)| {
        (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
    });
    pairs.collect()
}

impl Exchange {
    fn of(recording: &Recording, coding: Coding, random: &mut StdRng) -> Self {
        let (method, target) = recording.request_line.split_once(' ').unwrap();
        let mut response = recording.response_headers.clone();
        response.extend(coding.name().map(|name| ("content-encoding".to_owned(), name.to_owned())));
        Self {
            name: format!("{} {coding:?}", recording.name),
            method: method.to_owned(),
            target: target.to_owned(),
            request: recording.request_headers.clone(),
            up: cut(&recording.request_body, random),
            up_trailers: None,
            status: recording.status,
            response,
            down: cut(&recording.encoded(coding, true), random),
            down_trailers: None,
        }
    }

    fn answer(&self) -> Answer {
        let headers = self.response.iter();
        let answer = headers
            .fold(Answer::new(self.status), |answer, (name, value)| answer.header(name, value));
        let answer = self.down.iter().cloned().fold(answer, Answer::chunk);
        match &self.down_trailers {
            None => answer,
            Some(trailers) => answer.trailer_map(header_map(trailers)),
        }
    }

    fn body(&self) -> BoxBody<Bytes, io::Error> {
        if self.up.is_empty() && self.up_trailers.is_none() {
            return Empty::new().map_err(|never| match never {}).boxed();
        }
        let pieces = self.up.iter().cloned().map(Frame::data);
        let trailers = self.up_trailers.iter().map(|headers| Frame::trailers(header_map(headers)));
        let frames: Vec<io::Result<_>> = pieces.chain(trailers).map(Ok).collect();
        BoxBody::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    /// Does it, and gives the request as the upstream got it and the response.
    async fn with(
        &self,
        upstream: &FakeUpstream,
        address: SocketAddr,
        version: Version,
    ) -> (Message, Message) {
        upstream.answer(self.answer());
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let request = Request::builder().method(self.method.as_str());
        let mut request = match version {
            Version::Http1 => request.uri(&self.target).header("host", "here"),
            Version::Http2 => request.uri(format!("http://here{}", self.target)),
        }
        .body(self.body())
        .unwrap();
        request.headers_mut().extend(header_map(&self.request));
        let response = match version {
            Version::Http1 => {
                let (mut sender, connection) = http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            }
            Version::Http2 => {
                let executor = TokioExecutor::new();
                let (mut sender, connection) = http2::handshake(executor, io).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            }
        };
        let (head, mut body) = response.into_parts();
        let (mut bytes, mut trailers) = (BytesMut::new(), HeaderMap::new());
        while let Some(frame) = body.frame().await {
            match frame.unwrap().into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().unwrap(),
            }
        }
        let came = Message {
            start: head.status.to_string(),
            headers: pairs(&head.headers),
            body: bytes.freeze(),
            trailers: pairs(&trailers),
        };
        let received = upstream.next_request().await;
        // Over HTTP/2 there is an authority before it.
        let target = received.target.strip_prefix("http://here").unwrap_or(&received.target);
        let target = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
            None => target,
        };
        let sent = Message {
            start: format!("{} {target}", received.method),
            headers: pairs(&received.headers),
            body: received.body().await.unwrap(),
            trailers: received.trailers().as_ref().map(pairs).unwrap_or_default(),
        };
        (sent, came)
    }

    /// Compares every way with HTTP/2 without a proxy.
    async fn compare(&self, ends: &Ends) {
        let upstream = &ends.upstream;
        let direct = self.with(upstream, upstream.address(), Version::Http2).await;
        for ((client, to), proxy) in WAYS.iter().zip(&ends.proxies) {
            let through = self.with(upstream, proxy.address, *client).await;
            assert!(
                through == direct,
                "{}, {client:?} to {to:?}: {through:#?} instead of {direct:#?}",
                self.name
            );
        }
    }
}

/// An upstream and a proxy for each way to it.
struct Ends {
    upstream: FakeUpstream,
    proxies: Vec<support::TestProxy>,
}

async fn ends() -> Ends {
    let upstream = FakeUpstream::start().await;
    let mut proxies = Vec::new();
    for (_, to) in WAYS {
        proxies.push(proxy_before(&upstream, to).await);
    }
    Ends { upstream, proxies }
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn every_recording_passes_in_every_version() {
    let mut random = seeded_random();
    let ends = ends().await;
    for recording in recordings() {
        let large = recording.response_body.len() > 1 << 20;
        let other = Coding::ALL[random.random_range(1..Coding::ALL.len())];
        for coding in [Coding::Identity, other].into_iter().take(if large { 1 } else { 2 }) {
            Exchange::of(&recording, coding, &mut random).compare(&ends).await;
        }
    }
}

#[tokio::test]
async fn trailers_pass_in_every_version() {
    let ends = ends().await;
    let trailers = headers(&[("x-checksum", "abc"), ("x-time", "1"), ("x-time", "2")]);
    let declared = ("trailer", "x-checksum, x-time");
    let mut exchange = Exchange {
        name: "trailers".to_owned(),
        method: "POST".to_owned(),
        target: "/v1/files?a=b".to_owned(),
        request: headers(&[("te", "trailers"), declared]),
        up: vec!["up".into(), "ward".into()],
        up_trailers: Some(trailers.clone()),
        status: 200,
        response: headers(&[declared]),
        down: vec!["down".into(), "ward".into()],
        down_trailers: Some(trailers),
    };
    exchange.compare(&ends).await;
    exchange.name = "trailers alone".to_owned();
    (exchange.up, exchange.down) = (Vec::new(), Vec::new());
    exchange.compare(&ends).await;
}

#[tokio::test]
async fn heads_and_bodies_of_all_sizes_pass_in_every_version() {
    let mut random = seeded_random();
    let ends = ends().await;
    let long = "l".repeat(8_000);
    for size in [0, 1, 1 << 10, 100_000, 3 << 20] {
        let mut body = vec![0; size];
        random.fill(&mut body[..]);
        let body = Bytes::from(body);
        let length = size.to_string();
        let odd = [
            ("x-empty", ""),
            ("x-twice", "a"),
            ("x-twice", "b"),
            ("x-long", &long),
            ("x-colon", "a:b: c"),
            ("_under", "ok"),
        ];
        for told in [false, true] {
            let mut odd = headers(&odd);
            if told {
                odd.push(("content-length".to_owned(), length.clone()));
            }
            let exchange = Exchange {
                name: format!("{size} bytes, length told: {told}"),
                method: "PUT".to_owned(),
                target: "/a//b/../%2F?c=%20&d".to_owned(),
                request: odd.clone(),
                up: cut(&body, &mut random),
                status: 207,
                response: odd,
                down: cut(&body, &mut random),
                ..Exchange::default()
            };
            exchange.compare(&ends).await;
        }
    }
}
