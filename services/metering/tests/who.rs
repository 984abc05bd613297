//! Who asked, in which session, and which model answered.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use http::{HeaderMap, Method};
use modash_metering::{BodyEnd, Limits, Meter, Reading};
use std::time::Duration;
use support::{document, stream};

/// The reading of a request with this body, in one piece and byte by byte.
fn ask(body: &str) -> Reading {
    let uri = "/v1/messages".parse().unwrap();
    let new = || Meter::new(&Method::POST, &uri, &HeaderMap::new(), Limits::default());
    let mut whole = new();
    whole.request_data(body.as_bytes());
    let mut bytes = new();
    for byte in body.as_bytes() {
        bytes.request_data(std::slice::from_ref(byte));
    }
    assert_eq!((whole.user(), whole.session()), (bytes.user(), bytes.session()));
    whole.finish(BodyEnd::Complete, Duration::ZERO)
}

fn named(member: &str, text: &str) -> Reading {
    let text = serde_json::to_string(text).unwrap();
    ask(&match member.split_once('.') {
        Some((outer, inner)) => format!("{{\"{outer}\":{{\"{inner}\":{text}}}}}"),
        None => format!("{{\"{member}\":{text}}}"),
    })
}

const DEVICE: &str = "4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e";
const ACCOUNT: &str = "9a9a9a9a-0000-4000-8000-000000000001";
const SESSION: &str = "11111111-2222-4333-8444-555555555555";

#[test]
fn claude_code_names_a_device_an_account_and_a_session() {
    let json = |account: &str| {
        format!(
            r#"{{"device_id": "{DEVICE}", "account_uuid": "{account}", "session_id": "{SESSION}"}}"#
        )
    };
    let words = |account: &str| format!("user_{DEVICE}_account_{account}_session_{SESSION}");
    for member in ["metadata.user_id", "user", "safety_identifier"] {
        for (text, user) in [
            (json(ACCOUNT), ACCOUNT),
            (json(""), DEVICE),
            (words(ACCOUNT), ACCOUNT),
            (words(""), DEVICE),
        ] {
            let reading = named(member, &text);
            assert_eq!(reading.user.as_deref(), Some(user), "{member} {text}");
            assert_eq!(reading.session.as_deref(), Some(SESSION), "{member} {text}");
        }
    }
    // A session alone is no user.
    let reading = named("metadata.user_id", &format!(r#"{{"session_id":"{SESSION}"}}"#));
    assert_eq!((reading.user, reading.session.as_deref()), (None, Some(SESSION)));
}

#[test]
fn other_texts_are_users_as_they_are() {
    for text in [
        "alice@example.com",
        "user_42",
        "user_1_account_2",
        "my_account_is_session_1",
        "{",
        "{}",
        r#"{"name":"alice"}"#,
        r#"{"device_id":"d"} and more"#,
        "用户",
    ] {
        let reading = named("user", text);
        assert_eq!((reading.user.as_deref(), reading.session), (Some(text), None), "{text}");
    }
    assert_eq!(named("user", "a\0b\n").user.as_deref(), Some("a\u{fffd}b\u{fffd}"));
    let long = "é".repeat(100);
    assert_eq!(named("user", &long).user.as_deref(), Some(&long[..128]));
}

#[test]
fn a_body_may_name_a_session() {
    for member in [
        "session_id",
        "metadata.session_id",
        "client_metadata.session_id",
        "request.session_id",
        "conversation_id",
        "conversation",
        "conversation.id",
    ] {
        assert_eq!(named(member, "s-1").session.as_deref(), Some("s-1"), "{member}");
    }
    // What a later repetition takes back is not there.
    assert_eq!(ask(r#"{"session_id":"s","session_id":null}"#).session, None);
    assert_eq!(ask(r#"{"user":"u","user":null}"#).user, None);
}

#[test]
fn the_model_is_the_one_that_answered() {
    let fallback = r#"{"type":"message","model":"a","content":[{"type":"text","text":"x"},{"type":"fallback","from":{"model":"a"},"to":{"model":"b"}},{"type":"text","text":"y"}],"stop_reason":"end_turn"}"#;
    assert_eq!(document("/v1/messages", fallback).read().model.as_deref(), Some("b"));
    let chunk = |model: &str| {
        format!(
            "data: {{\"model\":\"{model}\",\"choices\":[{{\"delta\":{{\"content\":\"x\"}}}}]}}\n\n"
        )
    };
    let body = [chunk("m"), chunk("z-ai/other"), chunk("")].concat();
    let reading = stream("/v1/chat/completions", body).read();
    assert_eq!(reading.model.as_deref(), Some("z-ai/other"));
    assert_eq!(reading.model_requested.as_deref(), Some("m"));
}

#[test]
fn a_header_names_the_model_where_the_body_only_repeats_the_request() {
    let with = |model: &str, header: (&'static str, &'static str)| {
        let body = format!("{{\"model\":\"{model}\",\"status\":\"completed\"}}");
        let mut exchange = document("/v1/responses", body);
        exchange.headers.push(header);
        exchange.read().model.unwrap()
    };
    assert_eq!(with("m", ("openai-model", "gpt-5.2")), "gpt-5.2");
    assert_eq!(with("", ("ngrok-aig-model", "gpt-5.2")), "gpt-5.2");
    assert_eq!(with("m-2026-01-01", ("openai-model", "m")), "m-2026-01-01");
}

#[test]
fn a_response_names_the_one_before_it_and_its_conversation() {
    let follows = ask(r#"{"input": "Go on", "previous_response_id": "resp_68a1"}"#);
    assert_eq!(follows.previous_response_id.as_deref(), Some("resp_68a1"));
    assert_eq!(follows.session, None);
    let follows = ask(r#"{"previous_interaction_id": "int_1"}"#);
    assert_eq!(follows.previous_response_id.as_deref(), Some("int_1"));
    for first in [r#"{"input": "Hi"}"#, r#"{"previous_response_id": null}"#, r#"{"previous"#] {
        assert_eq!(ask(first).previous_response_id, None, "{first}");
    }
    let long = format!(r#"{{"previous_response_id": "{}"}}"#, "r".repeat(500));
    assert_eq!(ask(&long).previous_response_id.map(|id| id.len()), Some(128));
    for conversation in [r#""conv_1""#, r#"{"id": "conv_1"}"#] {
        let body = format!(r#"{{"conversation": {conversation}}}"#);
        assert_eq!(ask(&body).session.as_deref(), Some("conv_1"), "{body}");
    }
}
