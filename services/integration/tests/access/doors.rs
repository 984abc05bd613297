//! The doors through which analytics is asked, each by the bytes that it takes.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use modash_access::Token;
use modash_integration::PATIENCE;
use serde_json::{Value, json};

use crate::system::System;

/// How a question comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Grpc,
    GrpcWeb,
    GrpcWebThroughGateway,
    Json,
    EffectV3,
    EffectV4,
    Events,
}

impl Door {
    pub(crate) const ALL: [Self; 7] = [
        Self::Grpc,
        Self::GrpcWeb,
        Self::GrpcWebThroughGateway,
        Self::Json,
        Self::EffectV3,
        Self::EffectV4,
        Self::Events,
    ];
}

/// A question in the two forms that doors take.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// `UsageSummary`.
    pub(crate) method: String,
    /// `modash.v1.AnalyticsService`.
    pub(crate) service: String,
    pub(crate) message: Vec<u8>,
    pub(crate) json: Value,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// A message of gRPC, or nothing of a stream that has ended well.
    Message(Bytes),
    /// JSON of one of its forms.
    Value(Value),
    /// A stream began.
    Stream,
    /// Who calls is not known.
    Unauthenticated,
    /// The caller may not do this.
    Denied,
    /// The door does not have this.
    NotOffered,
    /// Anything else.
    Other(String),
}

/// Asks once, showing a token or none.
pub(crate) async fn ask(
    system: &System,
    door: Door,
    question: &Question,
    token: Option<&Token>,
) -> Answer {
    let answer = async {
        match door {
            Door::Grpc | Door::GrpcWeb | Door::GrpcWebThroughGateway => {
                framed(system, door, question, token).await
            }
            Door::Json => plain(system, question, token).await,
            Door::EffectV3 | Door::EffectV4 => effect(system, door, question, token).await,
            Door::Events => events(system, token).await,
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or(Answer::Other("nothing came".into()))
}

async fn send(
    http2: bool,
    method: &str,
    url: String,
    headers: &[(&str, &str)],
    token: Option<&Token>,
    body: Vec<u8>,
) -> (StatusCode, HeaderMap, Incoming) {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {}", token.expose()));
    }
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
    let response = client.request(request.body(Full::from(body)).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status, head.headers, body)
}

/// gRPC, and grpc-web at analytics and at the gateway.
async fn framed(system: &System, door: Door, question: &Question, token: Option<&Token>) -> Answer {
    let Question { service, method, message, .. } = question;
    let base = match door {
        Door::GrpcWebThroughGateway => system.modash.gateway.clone(),
        _ => format!("http://{}", system.modash.analytics),
    };
    let media_type =
        if door == Door::Grpc { "application/grpc" } else { "application/grpc-web+proto" };
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    if method == "StreamUsage" {
        body.clear();
    }
    let headers = [("content-type", media_type), ("te", "trailers")];
    let url = format!("{base}/{service}/{method}");
    let (status, headers, mut body) =
        send(door == Door::Grpc, "POST", url, &headers, token, body).await;
    let of = |headers: &HeaderMap| {
        let value = headers.get("grpc-status")?;
        Some(value.to_str().unwrap().to_owned())
    };
    let mut grpc = of(&headers);
    let mut data = Vec::new();
    while grpc.is_none() {
        match body.frame().await {
            Some(Ok(frame)) if frame.is_trailers() => grpc = of(frame.trailers_ref().unwrap()),
            Some(Ok(frame)) => data.extend_from_slice(frame.data_ref().unwrap()),
            Some(Err(error)) => return Answer::Other(error.to_string()),
            None => break,
        }
        if method == "Subscribe" && data.len() > 5 && data[0] == 0 {
            return Answer::Stream;
        }
    }
    // In grpc-web trailers are the last frame of the body.
    let mut message = Bytes::new();
    let mut rest = Bytes::from(data);
    while rest.len() >= 5 {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let payload = rest.slice(5..5 + length);
        if rest[0] & 0x80 == 0 {
            message = payload;
        } else {
            let text = String::from_utf8_lossy(&payload).into_owned();
            let value = text.lines().find_map(|line| line.strip_prefix("grpc-status:"));
            grpc = value.map(|value| value.trim().to_owned());
        }
        rest = rest.slice(5 + length..);
    }
    match grpc.as_deref() {
        Some("0") => Answer::Message(message),
        Some("16") => Answer::Unauthenticated,
        Some("7") => Answer::Denied,
        Some("12") => Answer::NotOffered,
        other => Answer::Other(format!("{status} {other:?} {headers:?}")),
    }
}

/// Unary calls as plain JSON.
async fn plain(system: &System, question: &Question, token: Option<&Token>) -> Answer {
    let Question { service, method, json, .. } = question;
    let url = format!("{}/{service}/{method}", system.modash.gateway);
    let headers = [("content-type", "application/json")];
    let body = json.to_string().into_bytes();
    let (status, _, body) = send(false, "POST", url, &headers, token, body).await;
    let body = body.collect().await.unwrap().to_bytes();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    match status.as_u16() {
        200 => Answer::Value(value),
        401 if value["code"] == "unauthenticated" => Answer::Unauthenticated,
        403 if value["code"] == "permission_denied" => Answer::Denied,
        404 | 501 if value["code"] == "unimplemented" => Answer::NotOffered,
        _ => Answer::Other(format!("{status} {value}")),
    }
}

/// Frames of Effect RPC: the type of the id tells the generation of the client.
async fn effect(system: &System, door: Door, question: &Question, token: Option<&Token>) -> Answer {
    let id = if door == Door::EffectV3 { json!("7") } else { json!(7) };
    let frame = json!({
        "_tag": "Request", "id": id, "tag": question.method, "payload": question.json, "headers": []
    });
    let url = format!("{}/rpc", system.modash.gateway);
    let headers = [("content-type", "application/json")];
    let body = frame.to_string().into_bytes();
    let (status, _, body) = send(false, "POST", url, &headers, token, body).await;
    let body = body.collect().await.unwrap().to_bytes();
    let frames: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (status.as_u16(), frames[0]["_tag"].as_str()) {
        (401, Some("Defect")) => return Answer::Unauthenticated,
        (403, Some("Defect")) => return Answer::Denied,
        (200, Some("Exit")) if frames[0]["requestId"] == id => {}
        // Of a procedure that there is not.
        (200, Some("Defect")) => return Answer::NotOffered,
        _ => return Answer::Other(format!("{status} {frames}")),
    }
    let exit = &frames[0]["exit"];
    let text = exit["cause"].to_string();
    match exit["_tag"].as_str() {
        Some("Success") => Answer::Value(exit["value"].clone()),
        _ if text.contains("Unknown request tag") => Answer::NotOffered,
        _ if text.contains("scope may not see it") || text.contains("needs the role") => {
            Answer::Denied
        }
        _ => Answer::Other(frames.to_string()),
    }
}

/// Server-sent events, which need no question.
async fn events(system: &System, token: Option<&Token>) -> Answer {
    let url = format!("{}/events", system.modash.gateway);
    let accept = [("accept", "text/event-stream")];
    let (status, headers, mut body) = send(false, "GET", url, &accept, token, Vec::new()).await;
    match status.as_u16() {
        200 if headers["content-type"] == "text/event-stream" => {
            let first = tokio::time::timeout(Duration::from_secs(20), body.frame()).await;
            if first.is_ok() { Answer::Stream } else { Answer::Other("no event".into()) }
        }
        401 => Answer::Unauthenticated,
        403 => Answer::Denied,
        _ => Answer::Other(status.to_string()),
    }
}
