//! What two servers may read in two ways is refused, wherever the bytes are cut; and
//! what is not refused is read by hyper in the same way.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod support;

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use support::{
    Request, read,
    shapes::{Verdict, shapes},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What hyper's server understands of a connection that ends behind `bytes`.
fn read_by_hyper(bytes: &[u8]) -> Vec<Request> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (mut client, server) = tokio::io::duplex(1024 * 1024);
    let (sender, mut requests) = tokio::sync::mpsc::channel(1000);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let sender = sender.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
            let headers = head.headers.iter();
            let request = Request {
                method: head.method.to_string(),
                target: head.uri.to_string(),
                headers: headers
                    .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                    .collect(),
                body,
            };
            sender.send(request).await.unwrap();
            Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::<bytes::Bytes>::default()))
        }
    });
    runtime.block_on(async {
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let serve = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(server), service);
        let ended = tokio::time::timeout(Duration::from_secs(30), serve).await;
        // What it says of broken requests does not matter here.
        drop(ended.expect("hyper ends with its client"));
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.unwrap();
        let mut all = Vec::new();
        while let Ok(request) = requests.try_recv() {
            all.push(request);
        }
        all
    })
}

/// Headers of the same name come together in hyper's map.
fn comparable(requests: &[Request]) -> Vec<Request> {
    let mut requests = requests.to_vec();
    for request in &mut requests {
        request.headers.sort_by(|one, other| one.0.cmp(&other.0));
    }
    requests
}

#[test]
fn every_shape_gets_its_verdict_wherever_it_is_cut() {
    for shape in shapes() {
        let whole = read(&shape.bytes, usize::MAX);
        let complete = whole.requests.iter().filter(|request| request.body.is_some()).count();
        match shape.verdict {
            Verdict::Requests(count) => {
                assert_eq!((whole.fault, complete), (None, count), "{}", shape.name);
            }
            Verdict::Refused(fault) => assert_eq!(whole.fault, Some(fault), "{}", shape.name),
        }
        for size in 1..shape.bytes.len() {
            let cut = read(&shape.bytes, size);
            assert_eq!(cut, whole, "{}, cut into pieces of {size}", shape.name);
        }
    }
}

#[test]
fn hyper_reads_what_is_taken_in_the_same_way() {
    let taken = shapes().into_iter().filter(|shape| matches!(shape.verdict, Verdict::Requests(_)));
    for shape in taken {
        let ours = read(&shape.bytes, usize::MAX).requests;
        let theirs = read_by_hyper(&shape.bytes);
        assert_eq!(comparable(&ours), comparable(&theirs), "{}", shape.name);
    }
}

/// Bytes of a request, mostly valid, in an order that is not.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "GET /a HTTP/1.1\r\n",
        "POST /b HTTP/1.1\r\n",
        "POST /c HTTP/1.0\r\n",
        "Host: h\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X: y\r\n",
        "x-y:  z \r\n",
        "Connection: close\r\n",
        "Connection: x, keep-alive\r\n",
        "Upgrade: w\r\n",
        "Connection: upgrade\r\n",
        "\r\n",
        "\r\n",
        "abc",
        "3\r\nabc\r\n",
        "0\r\n\r\n",
        "0\r\nT: u\r\n\r\n",
        "1;e=f\r\na\r\n",
        " ",
        "\t",
        "\r",
        "\n",
        ":",
        ",",
        "\0",
        "0",
        "chunked",
        "HTTP/1.1",
    ];
    proptest::collection::vec(0..words.len(), 0..24)
        .prop_map(move |order| order.iter().flat_map(|word| words[*word].bytes()).collect())
}

/// A shape with one damage.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let all = shapes();
    let byte = prop_oneof![any::<u8>(), proptest::sample::select(&b"\r\n :,;0\t\0"[..])];
    (0..all.len(), any::<prop::sample::Index>(), byte, 0..3_usize).prop_map(
        move |(shape, at, byte, kind)| {
            let mut bytes = all[shape].bytes.clone();
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same_reading(bytes in prop_oneof![pieces(), damaged()], size in 1..40_usize) {
        prop_assert_eq!(read(&bytes, size), read(&bytes, usize::MAX));
    }

    #[test]
    fn whatever_is_taken_is_taken_by_hyper_too(bytes in prop_oneof![pieces(), damaged()]) {
        // hyper may go on where this crate refuses, and refuse what this crate takes:
        // it checks targets. What both take, both read alike.
        let mut ours = read(&bytes, usize::MAX).requests;
        let mut theirs = read_by_hyper(&bytes);
        ours.retain(|request| request.body.is_some());
        theirs.retain(|request| request.body.is_some());
        let both = ours.len().min(theirs.len());
        prop_assert_eq!(comparable(&ours[..both]), comparable(&theirs[..both]));
    }
}
