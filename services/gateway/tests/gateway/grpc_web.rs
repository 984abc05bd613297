//! grpc-web through the gateway: unary, streaming, errors, and what happens
//! when either side goes away.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use modash_proto::v1;
use prost::Message as _;
use tonic::Code;
use v1::subscribe_response::Message;

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

#[tokio::test]
async fn messages_of_a_stream_pass_one_by_one_and_leaving_ends_it() {
    let gateway = TestGateway::start().await;
    until("the gateway subscribes", || gateway.script.running() == 1).await;
    let request = with_headers(gateway.request("POST", &format!("{PATH}Subscribe")), &[BINARY]);
    let body = Full::new(frame(&v1::SubscribeRequest::default()));
    let mut body = gateway.open(request.body(body).unwrap()).await.into_body();
    let mut read = BytesMut::new();
    let mut next = async || {
        loop {
            if read.len() >= 5 && read.len() >= 5 + (&read[1..5]).get_u32() as usize {
                read.advance(1);
                let length = read.get_u32() as usize;
                let message = v1::SubscribeResponse::decode(read.split_to(length)).unwrap();
                return message.message.unwrap();
            }
            let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("a message");
            read.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
        }
    };
    assert!(matches!(next().await, Message::Connected(_)));
    gateway.script.send(Message::KeepAlive(v1::KeepAlive::default()));
    assert!(matches!(next().await, Message::KeepAlive(_)));
    assert_eq!(gateway.script.running(), 2);
    drop(body);
    until("the subscription ends with its reader", || gateway.script.running() == 1).await;
}

#[tokio::test]
async fn a_gateway_that_stops_does_not_wait_for_subscriptions() {
    let gateway = TestGateway::start().await;
    let request = with_headers(gateway.request("POST", &format!("{PATH}Subscribe")), &[BINARY]);
    let body = Full::new(frame(&v1::SubscribeRequest::default()));
    let mut body = gateway.open(request.body(body).unwrap()).await.into_body();
    body.frame().await.unwrap().unwrap();
    let script = gateway.script.clone();
    gateway.stop().await;
    assert!(!matches!(body.frame().await, Some(Ok(_))));
    until("nothing runs", || script.running() == 0).await;
}
