//! Faults and limits do what they say, on the wire and in the counters.

use std::time::Duration;

use crate::common::{Server, client, read};
use bytes::Bytes;
use http_body_util::BodyExt;
use modash_simulator::SimulatorConfig;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn body(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

fn fault(name: &str) -> [(&str, &str); 2] {
    [("x-simulate-fault", name), ("x-simulate-output-tokens", "10")]
}

/// Everything that comes before the body ends or breaks.
async fn read_to_break(server: &Server, stream: bool) -> (String, bool) {
    let response = server.open(CHAT, &fault("break"), &body(stream)).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut incoming = response.into_body();
    let mut text = Vec::new();
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => text.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => return (String::from_utf8(text).unwrap(), true),
        }
    }
    (String::from_utf8(text).unwrap(), false)
}

#[tokio::test]
async fn errors_have_the_shape_of_their_dialect() {
    let server = Server::start().await;
    let failed = |status: &'static str| [("x-simulate-status", status)];
    let cases = [
        (CHAT, "429", "/error/code", json!("rate_limit_exceeded")),
        (CHAT, "500", "/error/type", json!("server_error")),
        ("/v1/messages", "529", "/error/type", json!("overloaded_error")),
        ("/v1/messages", "429", "/error/type", json!("rate_limit_error")),
        ("/completion", "503", "/error/type", json!("unavailable_error")),
        ("/v1beta/models/g:generateContent", "429", "/error/status", json!("RESOURCE_EXHAUSTED")),
    ];
    for (path, status, pointer, expected) in cases {
        let answer = server.post(path, &failed(status), &body(false)).await;
        assert_eq!(answer.status.as_str(), status);
        assert_eq!(answer.json().pointer(pointer), Some(&expected), "{path}");
    }
    let answer = server.post("/api/chat", &failed("500"), &body(false)).await.json();
    assert!(answer["error"].is_string());
    let seen = server.stats.snapshot();
    assert_eq!((seen.completed, seen.models.len()), (7, 0));
}

#[tokio::test]
async fn bad_requests_are_refused_as_the_real_servers_do() {
    let server = Server::start().await;
    let no_stream =
        json!({"model": "m", "messages": [], "stream_options": {"include_usage": true}});
    assert_eq!(server.post(CHAT, &[], &no_stream).await.status, 400);
    assert_eq!(server.post(CHAT, &[], &json!({"messages": []})).await.status, 400);
    assert_eq!(
        server.post("/v1/messages", &[("x-simulate-fault", "typo")], &body(false)).await.status,
        400
    );
    assert_eq!(server.post("/v1/nothing", &[], &body(false)).await.status, 404);
}

#[tokio::test]
async fn break_cuts_the_connection_in_the_middle() {
    let server = Server::start().await;
    let (text, broke) = read_to_break(&server, true).await;
    assert!(broke);
    // The role chunk and 5 of the 10 tokens.
    assert_eq!(text.matches("data: ").count(), 6, "{text}");
    let (text, broke) = read_to_break(&server, false).await;
    assert!(broke && text.starts_with("{\"id\""), "{text}");
    let seen = server.wait_for(|seen| seen.broken == 2).await;
    assert_eq!((seen.completed, seen.in_flight, seen.models.len()), (0, 0, 0));
}

#[tokio::test]
async fn drop_gives_no_response_at_all() {
    let server = Server::start().await;
    let request = server.request(CHAT, &fault("drop"), &body(true));
    assert!(client(false).request(request).await.is_err());
    assert_eq!(server.wait_for(|seen| seen.broken >= 1).await.completed, 0);
}

#[tokio::test]
async fn stall_sends_half_and_then_waits_until_the_client_leaves() {
    let server = Server::start().await;
    let response = server.open(CHAT, &fault("stall"), &body(true)).await.unwrap();
    let mut incoming = response.into_body();
    let mut events = 0;
    while events < 6 {
        let data = incoming.frame().await.unwrap().unwrap().into_data().unwrap();
        events += data.windows(6).filter(|window| window == b"data: ").count();
    }
    let more = tokio::time::timeout(Duration::from_millis(50), incoming.frame()).await;
    assert!(more.is_err(), "nothing more may come");
    assert_eq!(server.stats.snapshot().in_flight, 1);
    drop(incoming);
    server.wait_for(|seen| seen.abandoned == 1 && seen.in_flight == 0).await;
}

#[tokio::test]
async fn empty_is_a_success_without_a_body() {
    let server = Server::start().await;
    for stream in [true, false] {
        let answer = server.post(CHAT, &fault("empty"), &body(stream)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    }
    let seen = server.wait_for(|seen| seen.completed == 2).await;
    assert_eq!(seen.models.len(), 0);
}

#[tokio::test]
async fn stream_error_reports_an_error_after_a_good_beginning() {
    let server = Server::start().await;
    let (events, done) = server.post(CHAT, &fault("stream-error"), &body(true)).await.events();
    assert!(!done && events.len() == 7);
    assert_eq!(events[6].1.pointer("/error/type"), Some(&json!("server_error")));
    let (events, _) =
        server.post("/v1/messages", &fault("stream-error"), &body(true)).await.events();
    let (name, event) = events.last().unwrap();
    assert_eq!(name.as_deref(), Some("error"));
    assert_eq!(event.pointer("/error/type"), Some(&json!("overloaded_error")));
    let lines = server.post("/api/chat", &fault("stream-error"), &body(true)).await.lines();
    assert!(lines.last().unwrap()["error"].is_string());
    let contents = json!({"contents": []});
    let array = server
        .post("/v1beta/models/g:streamGenerateContent", &fault("stream-error"), &contents)
        .await
        .json();
    assert!(array.as_array().unwrap().last().unwrap().get("error").is_some());
    let plain = server.post(CHAT, &fault("stream-error"), &body(false)).await;
    assert_eq!(plain.status, 200);
    assert!(plain.json().get("error").is_some());
}

#[tokio::test]
async fn malformed_breaks_one_event_and_goes_on() {
    let server = Server::start().await;
    let answer = server.post(CHAT, &fault("malformed"), &body(true)).await;
    let data: Vec<&str> =
        answer.text().split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let bad = data.iter().filter(|data| serde_json::from_str::<Value>(data).is_err());
    // One broken event, and [DONE].
    assert_eq!(bad.count(), 2, "{}", answer.text());
    assert_eq!(data.last(), Some(&"[DONE]"));
    assert_eq!(data.len(), 13);
    let plain = server.post(CHAT, &fault("malformed"), &body(false)).await;
    assert!(serde_json::from_slice::<Value>(&plain.body).is_err());
}

#[tokio::test]
async fn bodies_have_exactly_the_wished_length_and_are_still_right() {
    let server = Server::start().await;
    for (length, stream) in [(100_000, false), (3_000_000, false), (100_000, true)] {
        let text = length.to_string();
        let headers = [("x-simulate-body-bytes", text.as_str())];
        let answer = server.post(CHAT, &headers, &body(stream)).await;
        assert_eq!(answer.body.len(), length);
        if stream {
            assert!(answer.events().1);
        } else {
            assert_eq!(answer.json()["usage"]["completion_tokens"], json!(24));
        }
    }
}

#[tokio::test]
async fn http2_with_prior_knowledge_gets_the_same_answers() {
    let config = SimulatorConfig { prebuilt: true, ..SimulatorConfig::default() };
    let server = Server::with(config).await;
    let mut bodies: Vec<Bytes> = Vec::new();
    for http2 in [false, true] {
        let request = server.request(CHAT, &[], &body(true));
        bodies.push(read(client(http2).request(request).await.unwrap()).await.body);
    }
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn each_event_is_sent_before_the_next_one_is_due() {
    let server = Server::start().await;
    // The second token is due in an hour; the first one comes all the same.
    let headers = [("x-simulate-output-tokens", "2"), ("x-simulate-token-interval-ms", "3600000")];
    let response = server.open(CHAT, &headers, &body(true)).await.unwrap();
    let mut incoming = response.into_body();
    let mut text = String::new();
    while !text.contains("Every") {
        let data = incoming.frame().await.unwrap().unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&data).unwrap());
    }
    assert_eq!(text.matches("data: ").count(), 2);
}

#[tokio::test]
async fn burst_sends_the_same_bytes_in_fewer_writes() {
    let config = SimulatorConfig { prebuilt: true, ..SimulatorConfig::default() };
    let server = Server::with(config).await;
    let normal = server.post(CHAT, &fault_free("false"), &body(true)).await;
    let response = server.open(CHAT, &fault_free("true"), &body(true)).await.unwrap();
    let mut incoming = response.into_body();
    let (mut frames, mut length) = (0, 0);
    while let Some(frame) = incoming.frame().await {
        frames += 1;
        length += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(length, normal.body.len());
    assert!(frames <= 6, "{frames} pieces of {length} bytes");
}

fn fault_free(burst: &str) -> [(&str, &str); 2] {
    [("x-simulate-burst", burst), ("x-simulate-output-tokens", "200")]
}

#[tokio::test]
async fn a_stop_cuts_stalled_answers_after_the_grace_period() {
    let server = Server::start().await;
    let response = server.open(CHAT, &fault("stall"), &body(true)).await.unwrap();
    server.shutdown.request();
    server.wait_for(|seen| seen.abandoned == 1).await;
    drop(response);
}
