//! grpc-web through the gateway: unary, streaming, errors, and what happens
//! when either side goes away.

use std::sync::atomic::Ordering;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use modash_proto::v1;
use prost::Message as _;
use tonic::Code;
use v1::subscribe_response::Message;

use crate::events::subscribed;
use crate::support::{PATIENCE, TestGateway, until, with_headers};

const BINARY: (&str, &str) = ("content-type", "application/grpc-web+proto");
const PATH: &str = "/modash.v1.AnalyticsService/";

/// A message frame of grpc-web.
fn frame(message: &impl prost::Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame.into()
}

/// Splits a body into frames of (flags, payload).
fn frames(mut body: Bytes) -> Vec<(u8, Bytes)> {
    let mut frames = Vec::new();
    while body.len() >= 5 {
        let (flags, length) = (body.get_u8(), body.get_u32() as usize);
        frames.push((flags, body.split_to(length)));
    }
    assert!(body.is_empty());
    frames
}

#[tokio::test]
async fn a_unary_call_is_a_message_and_trailers() {
    let gateway = TestGateway::start().await;
    let path = format!("{PATH}UsageSummary");
    let answer = gateway.post(&path, &[BINARY], frame(&v1::UsageSummaryRequest::default())).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, BINARY.1));
    let frames = frames(answer.body);
    let summary = v1::UsageSummaryResponse::decode(&*frames[0].1).unwrap();
    assert_eq!(summary.total_tokens, 1200);
    assert_eq!(frames[1].0, 0x80);
    assert!(std::str::from_utf8(&frames[1].1).unwrap().starts_with("grpc-status:0\r\n"));
}

#[tokio::test]
async fn text_is_answered_in_text() {
    let gateway = TestGateway::start().await;
    let body = STANDARD.encode(frame(&v1::UsageSummaryRequest::default()));
    let text = "application/grpc-web-text";
    let headers = [("content-type", text), ("accept", text)];
    let answer = gateway.post(&format!("{PATH}UsageSummary"), &headers, body).await;
    assert!(answer.header("content-type").starts_with(text));
    assert!(STANDARD.decode(&answer.body[..8]).is_ok(), "{answer:?}");
}

#[tokio::test]
async fn an_error_is_in_the_headers() {
    let gateway = TestGateway::start().await;
    let body = frame(&v1::RecentRequestsRequest::default());
    let answer = gateway.post(&format!("{PATH}RecentRequests"), &[BINARY], body.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "3"));
    assert!(answer.header("grpc-message").starts_with("page:%20must"));
    for path in [format!("{PATH}Nope"), "/modash.v1.IngestService/StreamUsage".to_owned()] {
        let answer = gateway.post(&path, &[BINARY], body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "12"), "{path}");
        assert_eq!(answer.header("content-type"), BINARY.1);
    }
}

#[tokio::test]
async fn analytics_away_is_unavailable_in_grpc_web_too() {
    let mut gateway = TestGateway::start().await;
    gateway.kill_analytics();
    let answer = gateway.post(&format!("{PATH}UsageSummary"), &[BINARY], "").await;
    let code = Code::Unavailable as i32;
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, &*code.to_string()));
    assert!(answer.header("grpc-message").contains("try%20again"));
}

#[tokio::test]
async fn a_deadline_ends_the_call() {
    let gateway = TestGateway::start().await;
    *gateway.script.hang.lock().unwrap() = true;
    let headers = [BINARY, ("grpc-timeout", "50m")];
    let body = frame(&v1::UsageSummaryRequest::default());
    let answer = gateway.post(&format!("{PATH}UsageSummary"), &headers, body).await;
    assert_eq!(answer.header("grpc-status"), "4", "{answer:?}");
}

/// An open call of `Subscribe`.
struct Subscription {
    body: Incoming,
    read: BytesMut,
}

impl Subscription {
    async fn open(gateway: &TestGateway, request: &v1::SubscribeRequest) -> Self {
        let call = with_headers(gateway.request("POST", &format!("{PATH}Subscribe")), &[BINARY]);
        let call = call.body(Full::new(frame(request))).unwrap();
        let answer = gateway.open(call).await;
        assert_eq!(answer.headers().get("grpc-status"), None, "{answer:?}");
        Self { body: answer.into_body(), read: BytesMut::new() }
    }

    /// The next frame: its flags and what is in it; `None` at the end.
    async fn frame(&mut self) -> Option<(u8, Bytes)> {
        loop {
            let read = &mut self.read;
            if read.len() >= 5 && read.len() >= 5 + (&read[1..5]).get_u32() as usize {
                let flags = read.get_u8();
                let length = read.get_u32() as usize;
                return Some((flags, read.split_to(length).freeze()));
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("a message");
            read.extend_from_slice(&frame?.unwrap().into_data().unwrap());
        }
    }

    async fn next(&mut self) -> Message {
        let (flags, message) = self.frame().await.expect("a message, not the end");
        assert_eq!(flags, 0, "{message:?}");
        v1::SubscribeResponse::decode(message).unwrap().message.unwrap()
    }
}

fn filtered() -> v1::SubscribeRequest {
    let filter = v1::Filter { models: vec!["m".to_owned()], ..Default::default() };
    v1::SubscribeRequest { filter: Some(filter), topics: Vec::new() }
}

fn running(id: &str) -> v1::LiveRequest {
    v1::LiveRequest {
        event_id: id.to_owned(),
        phase: v1::RequestPhase::Waiting.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_filtered_stream_is_passed_on_one_by_one_and_leaving_ends_it() {
    let gateway = subscribed().await;
    let mut stream = Subscription::open(&gateway, &filtered()).await;
    assert!(matches!(stream.next().await, Message::Connected(_)));
    gateway.script.send(Message::KeepAlive(v1::KeepAlive::default()));
    assert!(matches!(stream.next().await, Message::KeepAlive(_)));
    assert_eq!(gateway.script.running(), 2);
    drop(stream);
    until("the subscription ends with its reader", || gateway.script.running() == 1).await;
}

#[tokio::test]
async fn any_number_of_readers_is_one_subscription_and_each_is_told_all() {
    let gateway = subscribed().await;
    let mut readers = Vec::new();
    for _ in 0..300 {
        readers.push(Subscription::open(&gateway, &v1::SubscribeRequest::default()).await);
    }
    for reader in &mut readers {
        assert!(matches!(reader.next().await, Message::Connected(_)));
    }
    assert_eq!(
        gateway.script.subscriptions.load(Ordering::SeqCst),
        1,
        "analytics has one subscriber"
    );
    gateway.script.send(Message::RequestStateUpdated(v1::RequestStateUpdated {
        requests: vec![running("c")],
        ..Default::default()
    }));
    gateway.script.send(Message::UsageUpdated(v1::UsageUpdated {
        requests: 3,
        oldest_started_at: Some(prost_types::Timestamp { seconds: 7, nanos: 0 }),
        ..Default::default()
    }));
    for reader in &mut readers {
        let (mut told, mut committed) = (Vec::new(), 0);
        while told.is_empty() || committed == 0 {
            match reader.next().await {
                Message::RequestStateUpdated(update) => told.extend(update.requests),
                Message::UsageUpdated(update) => committed += update.requests,
                Message::KeepAlive(_) | Message::Connected(_) => {}
                Message::Missed(missed) => panic!("{missed:?}"),
            }
        }
        assert_eq!((told, committed), (vec![running("c")], 3));
    }
}

#[tokio::test]
async fn a_reader_gets_what_runs_and_only_the_topics_that_it_wants() {
    let gateway = subscribed().await;
    gateway.script.send(Message::Connected(v1::Connected {
        version: "fake".to_owned(),
        requests: vec![running("a")],
        ..Default::default()
    }));
    let topics = vec![v1::Topic::Usage.into()];
    let usage = v1::SubscribeRequest { topics, ..Default::default() };
    let mut all = Subscription::open(&gateway, &v1::SubscribeRequest::default()).await;
    let mut usage = Subscription::open(&gateway, &usage).await;
    loop {
        // Opened before the gateway knew of it, the reader is told again.
        let Message::Connected(connected) = all.next().await else { continue };
        assert_eq!(connected.version, "fake");
        if connected.requests == [running("a")] {
            break;
        }
    }
    let Message::Connected(connected) = usage.next().await else { panic!("not first") };
    assert_eq!(connected.requests, []);
    gateway.script.send(Message::RequestStateUpdated(v1::RequestStateUpdated {
        requests: vec![running("b")],
        ..Default::default()
    }));
    gateway.script.send(Message::UsageUpdated(v1::UsageUpdated::default()));
    assert!(matches!(usage.next().await, Message::UsageUpdated(_)));
}

#[tokio::test]
async fn readers_learn_that_analytics_is_lost_and_a_new_one_is_told_why() {
    let mut gateway = subscribed().await;
    let mut stream = Subscription::open(&gateway, &v1::SubscribeRequest::default()).await;
    assert!(matches!(stream.next().await, Message::Connected(_)));
    gateway.kill_analytics();
    let trailers = loop {
        match stream.frame().await.expect("trailers before the end") {
            (0x80, trailers) => break String::from_utf8(trailers.to_vec()).unwrap(),
            (0, _) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(trailers.contains("grpc-status: 14"), "{trailers}");
    assert_eq!(stream.frame().await, None);
    let body = frame(&v1::SubscribeRequest::default());
    let answer = gateway.post(&format!("{PATH}Subscribe"), &[BINARY], body).await;
    assert_eq!(answer.header("grpc-status"), "14", "{answer:?}");
}

#[tokio::test]
async fn a_gateway_that_stops_does_not_wait_for_subscriptions() {
    for request in [v1::SubscribeRequest::default(), filtered()] {
        let gateway = subscribed().await;
        let mut stream = Subscription::open(&gateway, &request).await;
        assert!(matches!(stream.next().await, Message::Connected(_)));
        let script = gateway.script.clone();
        gateway.stop().await;
        // Trailers, or nothing where analytics' own call is broken off.
        let rest = tokio::time::timeout(PATIENCE, stream.body.collect()).await.expect("an end");
        if let Ok(rest) = rest {
            let trailers = frames(rest.to_bytes());
            assert!(trailers.iter().all(|(flags, _)| *flags == 0x80), "{trailers:?}");
        }
        until("nothing runs", || script.running() == 0).await;
    }
}
