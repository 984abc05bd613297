//! What the tests of byte identity share.

use bytes::Bytes;
use modash_test_support::raw::{
    Coding, Comparison, Framing, RawAnswer, RawExchange, RawUpstream, cut, framed, recordings,
};
use rand::{Rng as _, rngs::StdRng};

use super::TestProxy;

/// An upstream, a proxy in front of it, and the two ways to it.
pub async fn comparison() -> (Comparison, TestProxy) {
    let upstream = RawUpstream::start().await;
    let url = upstream.url();
    let proxy = TestProxy::start_with(|config| config.upstream = Some(url.parse().unwrap())).await;
    (Comparison::new(upstream, proxy.address), proxy)
}

/// An exchange of whole messages.
pub fn exchange(name: &str, request: impl Into<Bytes>, answer: impl Into<Bytes>) -> RawExchange {
    let (request, answer) = (vec![request.into()], RawAnswer::whole(answer));
    RawExchange { name: name.to_owned(), request, answer }
}

/// Fails unless nothing differs.
pub async fn equal(comparison: &mut Comparison, exchange: &RawExchange) {
    if let Err(difference) = comparison.equal(exchange).await {
        panic!("{difference}");
    }
}

/// Every recording in these codings, in every framing and cut.
pub async fn every_recording(
    comparison: &mut Comparison,
    codings: &[Coding],
    random: &mut StdRng,
) -> usize {
    let (mut failures, mut exchanges) = (Vec::new(), 0);
    let recordings = recordings();
    assert!(recordings.len() >= 100, "{} recordings", recordings.len());
    for recording in &recordings {
        // Megabytes are compressed once, and not in a debug build's every way.
        let large = recording.response_body.len() > 1 << 20;
        for &coding in codings {
            for flushed in [false, true].into_iter().take(if large { 1 } else { 2 }) {
                let encoded = recording.encoded(coding, flushed);
                for framing in [Framing::Length, Framing::Chunked, Framing::Close] {
                    let exchange = recording.exchange(coding, &encoded, framing, random);
                    exchanges += 1;
                    failures.extend(comparison.equal(&exchange).await.err());
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {exchanges}: {:#?}",
        failures.len(),
        &failures[..5.min(failures.len())]
    );
    exchanges
}

const TOKEN: &[u8] =
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
const TARGET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/%?[]{}|^";

fn some(alphabet: &[u8], most: usize, random: &mut StdRng) -> Vec<u8> {
    let length = random.random_range(1..=most);
    (0..length).map(|_| alphabet[random.random_range(0..alphabet.len())]).collect()
}

/// Header lines with names that mean nothing and begin with this, some of them
/// more than once.
fn lines(begin: &str, random: &mut StdRng) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in 0..random.random_range(0..12) {
        let mut name = format!("{begin}{number}-").into_bytes();
        name.extend(some(TOKEN, 20, random));
        for _ in 0..[1, 1, 1, 3][random.random_range(0..4)] {
            // Visible characters, spaces within, and bytes of other alphabets.
            let mut value: Vec<u8> = (0..random.random_range(0..200))
                .map(|_| match random.random_ratio(1, 8) {
                    true => random.random_range(0x80..=0xff),
                    false => random.random_range(0x20..0x7f),
                })
                .collect();
            value = value.trim_ascii().to_vec();
            lines.extend([&name, b": ".as_slice(), &value, b"\r\n"].concat());
        }
    }
    lines
}

fn body(random: &mut StdRng) -> Bytes {
    let most = [0, 1, 100, 10_000, 200_000][random.random_range(0..5)];
    let mut body = vec![0; random.random_range(0..=most)];
    random.fill(&mut body[..]);
    body.into()
}

/// Any request, and any answer to it.
pub fn random_exchange(number: usize, random: &mut StdRng) -> RawExchange {
    let paths = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/chat", ""];
    let path = paths[random.random_range(0..paths.len())];
    let target = if path.is_empty() { some(TARGET, 60, random) } else { Vec::new() };
    let up = [Framing::Length, Framing::Chunked][random.random_range(0..2)];
    let down = [Framing::Length, Framing::Chunked, Framing::Close][random.random_range(0..3)];
    let (framing, framed_body) = framed(&body(random), up, random);
    let slash = if path.is_empty() { "/" } else { "" };
    let request = [
        format!("POST {path}{slash}").as_bytes(),
        &target,
        b" HTTP/1.1\r\nHost: here\r\n",
        &lines("X-", random),
        framing.as_bytes(),
        &lines("y-", random),
        b"\r\n",
        &framed_body,
    ]
    .concat();
    let status = [200, 200, 201, 206, 400, 404, 418, 429, 500, 529][random.random_range(0..10)];
    let kinds = ["application/json", "text/event-stream", "application/x-ndjson", "a/b"];
    let kind = kinds[random.random_range(0..kinds.len())];
    let (framing, framed_body) = framed(&body(random), down, random);
    let answer = [
        format!("HTTP/1.1 {status} Why Not\r\nContent-Type: {kind}\r\n").as_bytes(),
        &lines("X-", random),
        framing.as_bytes(),
        &lines("y-", random),
        b"\r\n",
        &framed_body,
    ]
    .concat();
    RawExchange {
        name: format!("exchange {number}, POST {path}{slash}{}", target.escape_ascii()),
        request: cut(&request.into(), random),
        answer: RawAnswer { pieces: cut(&answer.into(), random), close: down == Framing::Close },
    }
}
