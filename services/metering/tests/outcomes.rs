//! How an answer with a status of success really ended: errors inside it, forms
//! without an answer, and event streams however servers write them.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use http::{HeaderMap, Method, StatusCode};
use modash_metering::{BodyEnd, Limits, Meter, Outcome, Reading, UsageSource};
use std::time::Duration;
use support::{Exchange, counts, document, stream};

const CHAT: &str = "/v1/chat/completions";
const CHUNK: &str = r#"{"id":"c","model":"m-1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str =
    r#"{"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;

fn labelled(mut exchange: Exchange, kind: &'static str) -> Reading {
    exchange.headers = if kind.is_empty() { vec![] } else { vec![("content-type", kind)] };
    exchange.read()
}

fn kind_of(reading: &Reading) -> (Outcome, &str) {
    (reading.outcome, reading.error_type.as_deref().unwrap_or(""))
}

#[test]
fn errors_of_gateways_are_errors_whatever_their_form() {
    for (body, kind) in [
        (r#"{"error":"model is loading"}"#, "error"),
        (r#"{"error":{"message":"m","code":"model_not_found"}}"#, "model_not_found"),
        (r#"{"error":true,"message":"m"}"#, "error"),
        (r#"{"error":{"message":"m"},"choices":[],"usage":null}"#, "error"),
        (r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#, "1004"),
        (
            r#"{"id":"x","choices":null,"base_resp":{"status_code":2013,"status_msg":"bad"}}"#,
            "2013",
        ),
        (r#"{"object":"error","message":"m","code":50001}"#, "50001"),
        (r#"{"text":"m","error_code":50002}"#, "50002"),
        (r#"{"error_code":336003,"error_msg":"messages can not be empty"}"#, "336003"),
        (r#"{"code":"InvalidApiKey","message":"m","request_id":"r"}"#, "InvalidApiKey"),
        (r#"{"code":20012,"message":"Model does not exist","data":null}"#, "20012"),
        (r#"{"code":500,"msg":"404 NOT_FOUND","success":false}"#, "500"),
        (r#"{"detail":"Not authenticated"}"#, "error"),
        (r#"{"detail":[{"loc":["body","x"],"msg":"m","type":"missing"}]}"#, "error"),
        (r#"{"message":"Internal server error"}"#, "error"),
        (r#"{"success":false,"errors":[{"code":7009,"message":"m"}],"result":null}"#, "7009"),
        (r#"{"status":"error","message":"m"}"#, "error"),
        (r#"{"errorMessage":"Task timed out","requestId":"r"}"#, "error"),
        (r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#, "RESOURCE_EXHAUSTED"),
        ("\u{feff}{\"error\":{\"type\":\"overloaded_error\"}}", "overloaded_error"),
    ] {
        let reading = document(CHAT, body).read();
        assert_eq!(kind_of(&reading), (Outcome::Error, kind), "{body}");
        let streamed = stream(CHAT, format!("data: {body}\n\n"));
        if body.starts_with('{') {
            assert_eq!(kind_of(&streamed.read()), (Outcome::Error, kind), "streamed: {body}");
        }
    }
}

#[test]
fn members_of_success_are_no_errors() {
    for more in [
        r#""error":null"#,
        r#""error":"""#,
        r#""error":{}"#,
        r#""error":false"#,
        r#""error_code":0"#,
        r#""base_resp":{"status_code":0,"status_msg":"success"}"#,
        r#""code":200,"message":"ok","success":true"#,
        r#""errors":[]"#,
        r#""detail":"cached""#,
        r#""message":"a note","msg":"another""#,
    ] {
        let choices = r#""choices":[{"message":{"content":"a"},"finish_reason":"stop"}]"#;
        let reading = document(CHAT, format!("{{{more},{choices}}}")).read();
        assert_eq!(kind_of(&reading), (Outcome::Complete, ""), "{more}");
    }
}

#[test]
fn a_finish_reason_may_say_that_the_server_failed() {
    for reason in ["abort", "error", "network_error", "insufficient_system_resource"] {
        let body = format!(
            r#"{{"choices":[{{"message":{{"content":"a"}},"finish_reason":"{reason}"}}]}}"#
        );
        assert_eq!(kind_of(&document(CHAT, body).read()), (Outcome::Error, reason));
    }
    let abort = STOP.replace("stop", "abort");
    let body = format!("data: {CHUNK}\n\ndata: {abort}\n\ndata: {USAGE}\n\ndata: [DONE]\n\n");
    let reading = stream(CHAT, body).read();
    assert_eq!(kind_of(&reading), (Outcome::Error, "abort"));
    assert_eq!(counts(&reading), [Some(7), None, Some(2), Some(9)]);
    let named = r#"{"choices":[{"delta":{},"finish_reason":"error"}],"error":{"code":502}}"#;
    let reading = stream(CHAT, format!("data: {named}\n\n")).read();
    assert_eq!(kind_of(&reading), (Outcome::Error, "502"), "the error names the kind");
    let cohere = r#"{"id":"g","finish_reason":"ERROR_TOXIC","text":"a"}"#;
    assert_eq!(kind_of(&document("/v1/chat", cohere).read()), (Outcome::Error, "ERROR_TOXIC"));
}

#[test]
fn errors_after_content_are_errors_in_every_framing() {
    let error = r#"{"error":{"type":"server_error"}}"#;
    for body in [
        format!("data: {CHUNK}\n\ndata: {error}\n\n"),
        format!("data: {CHUNK}\n\nevent: error\ndata: {error}\n\ndata: [DONE]\n\n"),
        format!("data: {CHUNK}\ndata: {error}\ndata: [DONE]\n"),
        // Written into the stream by a server or gateway that no longer cares.
        format!("data: {CHUNK}\n\n{error}"),
        format!("data: {CHUNK}\n\n{error}\n\ndata: [DONE]\n\n"),
        format!("data: {CHUNK}\n\n{{\n  \"error\": {{\n    \"type\": \"server_error\"\n  }}\n}}\n"),
        format!("data: {CHUNK}{error}\n\n"),
        format!("{CHUNK}\n{error}\n"),
    ] {
        let reading = stream(CHAT, body.clone()).read();
        assert_eq!(kind_of(&reading), (Outcome::Error, "server_error"), "{body:?}");
        assert_eq!(reading.content_events, 1, "{body:?}");
    }
    let groq = r#"{"choices":[],"x_groq":{"id":"r","error":"over_capacity"}}"#;
    let reading = stream(CHAT, format!("data: {CHUNK}\n\ndata: {groq}\n\ndata: [DONE]\n\n")).read();
    assert_eq!(kind_of(&reading), (Outcome::Error, "error"));
    let reading = stream(CHAT, format!("data: {CHUNK}\n\nevent: error\ndata: it broke\n\n")).read();
    assert_eq!(kind_of(&reading), (Outcome::Error, "error"));
    let lines = "{\"model\":\"m\",\"message\":{\"content\":\"a\"},\"done\":false}\n{\"error\":\"an error\"}\n";
    let reading = labelled(stream("/api/chat", lines), "application/x-ndjson");
    assert_eq!(kind_of(&reading), (Outcome::Error, "error"));
    let anthropic =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    let reading = stream("/v1/messages", anthropic).read();
    assert_eq!(kind_of(&reading), (Outcome::Error, "overloaded_error"));
}

#[test]
fn errors_of_calls_on_unknown_paths_are_errors() {
    for body in
        [r#"{"error":{"message":"m","type":"overloaded"}}"#, r#"{"error":{"code":"overloaded"}}"#]
    {
        let reading = document("/serving/7/invocations", body).read();
        assert_eq!(kind_of(&reading), (Outcome::Error, "overloaded"), "{body}");
    }
    let listed = r#"{"success":false,"errors":[{"code":7009,"message":"m"}],"result":null}"#;
    let reading = document("/ai/run/@cf/meta/llama", listed).read();
    assert_eq!(kind_of(&reading), (Outcome::Error, "7009"));
    let other = document("/jobs", r#"{"success":false,"errors":[]}"#).read();
    assert_eq!(other.outcome, Outcome::Complete);
    let other = document("/jobs", r#"{"error":"none so far","message":"m"}"#).read();
    assert_eq!(other.outcome, Outcome::Complete);
}

#[test]
fn an_http_error_may_be_told_by_an_event() {
    let mut exchange =
        stream(CHAT, "event: error\ndata: {\"error\":{\"type\":\"rate_limit_error\"}}\n\n");
    exchange.status = 429;
    assert_eq!(kind_of(&exchange.read()), (Outcome::Error, "rate_limit_error"));
}

#[test]
fn pages_and_text_are_no_answers_to_a_call() {
    let page = "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>";
    for kind in ["text/html; charset=utf-8", "application/json", "text/event-stream", ""] {
        for asked in [document(CHAT, page), stream(CHAT, page), document("/v1/embeddings", page)] {
            let reading = labelled(asked, kind);
            assert_eq!(kind_of(&reading), (Outcome::Error, "unexpected_html"), "{kind}");
        }
    }
    let reading = labelled(document("/v1/messages", "upstream connect error"), "text/plain");
    assert_eq!(kind_of(&reading), (Outcome::Error, "unexpected_text"));
    // Cut JSON stays cut, whatever its label.
    let reading = labelled(document(CHAT, r#"{"id":"c","choi"#), "text/plain");
    assert_eq!(reading.outcome, Outcome::Truncated);
}

#[test]
fn pages_and_text_where_no_call_was_made_are_fine() {
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/metrics"),
        (Method::GET, "/v1/files/f/content"),
        (Method::POST, "/login"),
    ] {
        for kind in ["text/html", "text/plain", "application/json", ""] {
            for body in ["<html></html>", "OK", "# HELP a b\na 1\n", "{\"a\":1}\n{\"a\":2}\n"] {
                let uri = path.parse().unwrap();
                let mut meter = Meter::new(&method, &uri, &HeaderMap::new(), Limits::default());
                meter.request_end();
                meter.response_head(StatusCode::OK, &support::typed(kind));
                meter.response_data(body.as_bytes(), Duration::ZERO);
                let reading = meter.finish(BodyEnd::Complete, Duration::ZERO);
                let case = format!("{method} {path} {kind} {body}");
                assert_eq!(reading.outcome, Outcome::Complete, "{case}");
                assert_ne!(reading.source, UsageSource::Unparseable, "{case}");
            }
        }
    }
    for (path, kind) in [("/v1/audio/transcriptions", "text/plain"), ("/v1/audio/speech", "")] {
        let reading = labelled(document(path, "1\n00:00 --> 00:01\nHi"), kind);
        assert_eq!(reading.outcome, Outcome::Complete, "{path}");
    }
}

#[test]
fn a_form_without_an_answer_is_empty() {
    for (path, body) in [
        (
            CHAT,
            r#"{"id":"","model":"","choices":[{"index":0,"message":{"role":"assistant","content":null},"finish_reason":null}],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#,
        ),
        (CHAT, r#"{"id":"c","object":"chat.completion","choices":[],"usage":null}"#),
        (CHAT, r#"{"choices":[{"message":{"content":""},"finish_reason":""}]}"#),
        (CHAT, "{}"),
        ("/v1/completions", r#"{"choices":[{"text":"","finish_reason":null}]}"#),
        (
            "/v1/messages",
            r#"{"type":"message","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":0,"output_tokens":0}}"#,
        ),
        ("/v1/responses", r#"{"object":"response","output":[],"status":null}"#),
        ("/v1beta/models/g:generateContent", r#"{"candidates":[]}"#),
    ] {
        assert_eq!(document(path, body).read().outcome, Outcome::Empty, "{path} {body}");
    }
    assert_eq!(stream(CHAT, "data: [DONE]\n\n").read().outcome, Outcome::Empty);
    // Content, a reason to stop or output tokens make an answer.
    for (path, body) in [
        (CHAT, r#"{"choices":[{"message":{"content":"a"}}]}"#),
        (CHAT, r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"}]}}]}"#),
        (CHAT, r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"t"}]}}]}"#),
        (CHAT, r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#),
        (CHAT, r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#),
        ("/v1/messages", r#"{"content":[{"type":"text","text":"a"}]}"#),
        ("/v1/responses", r#"{"object":"response","output":[],"status":"completed"}"#),
        ("/generate", r#"{"generated_text":""}"#),
        ("/api/generate", r#"{"model":"m","response":"","done":true}"#),
        ("/v1/embeddings", r#"{"data":[]}"#),
        ("/v1/responses/input_tokens", r#"{"object":"response.input_tokens","input_tokens":11}"#),
    ] {
        assert_eq!(document(path, body).read().outcome, Outcome::Complete, "{path} {body}");
    }
}

#[test]
fn event_streams_are_read_as_what_they_are() {
    let events = [CHUNK, STOP, USAGE, "[DONE]"];
    let written = |before: &str, after: &str| -> String {
        events.iter().map(|event| format!("{before}{event}{after}")).collect()
    };
    for body in [
        written("data: ", "\n\n"),
        written("data:", "\n\n"),
        written("data: ", "\r\n\r\n"),
        written("data: ", "\r\r"),
        written("data: ", "\n"),
        written("data: ", "\r\n"),
        written("data: ", "\r"),
        written(": keep-alive\n\ndata: ", "\n\n"),
        written("id: 1\nretry: 5\ndata: ", "\n\n"),
        written("event: message\ndata: ", "\n"),
        written("event: message\ndata: ", "\r\n"),
        format!("\u{feff}{}", written("data: ", "\n\n")),
        format!("\n\n{}", written("data: ", "\n\n")),
        format!("data: {CHUNK}{STOP}{USAGE}\n\ndata: [DONE]\n\n"),
        format!("data: {CHUNK} {STOP}\ndata: {USAGE}\n\n"),
        format!("{CHUNK}\n{STOP}\n{USAGE}\n"),
        format!("{CHUNK}{STOP}\r\n{USAGE}"),
        format!("data: {}\n\ndata: {STOP}\n\ndata: {USAGE}", CHUNK.replace(",\"", ",\ndata: \"")),
        format!("data: {}\n\ndata: {STOP}\n\ndata: {USAGE}", CHUNK.replace(",\"", ",\n  \"")),
    ] {
        for kind in
            ["text/event-stream", "text/plain", "application/json", "", "application/octet-stream"]
        {
            for asked in [stream(CHAT, body.clone()), document(CHAT, body.clone())] {
                let reading = labelled(asked, kind);
                let case = format!("{kind} {body:?}");
                assert_eq!(kind_of(&reading), (Outcome::Complete, ""), "{case}");
                assert_eq!(counts(&reading), [Some(7), None, Some(2), Some(9)], "{case}");
                assert_eq!(reading.finish_reason.as_deref(), Some("stop"), "{case}");
                assert_eq!(reading.content_events, 1, "{case}");
                assert_eq!(reading.model.as_deref(), Some("m-1"), "{case}");
            }
        }
    }
}

#[test]
fn named_events_need_no_blank_lines_between_them() {
    let body = [
        ("message_start", r#"{"type":"message_start","message":{"id":"i","model":"m","usage":{"input_tokens":5,"output_tokens":1}}}"#),
        ("content_block_delta", r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}"#),
        ("message_delta", r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}"#),
        ("message_stop", r#"{"type":"message_stop"}"#),
    ]
    .map(|(name, data)| format!("event: {name}\ndata: {data}\n"))
    .concat();
    let reading = stream("/v1/messages", body).read();
    assert_eq!(kind_of(&reading), (Outcome::Complete, ""));
    assert_eq!(counts(&reading), [Some(5), None, Some(3), Some(8)]);
    assert_eq!((reading.finish_reason.as_deref(), reading.content_events), (Some("end_turn"), 1));
}

#[test]
fn the_time_of_an_event_without_a_blank_line_is_that_of_its_line() {
    let mut meter = stream(CHAT, "").meter();
    for (piece, at) in [(CHUNK, 100), (CHUNK, 400), (STOP, 900)] {
        meter.response_data(format!("data: {piece}\n").as_bytes(), Duration::from_millis(at));
    }
    let reading = meter.finish(BodyEnd::Complete, Duration::from_millis(2_000));
    assert_eq!(reading.first_content_at, Some(Duration::from_millis(100)));
    assert_eq!(reading.last_content_at, Some(Duration::from_millis(400)));
}

#[test]
fn a_stream_may_end_with_its_usage() {
    let body = format!("data: {CHUNK}\n\ndata: {USAGE}\n\n");
    assert_eq!(stream(CHAT, body.clone()).read().outcome, Outcome::Complete);
    let broken = Exchange { end: BodyEnd::Broken, ..stream(CHAT, body) };
    assert_eq!(broken.read().outcome, Outcome::Truncated);
    // An empty reason is none.
    for body in [
        format!("data: {}\n\n", CHUNK.replace("null", "\"\"")),
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"\"}}\n\n".to_owned(),
    ] {
        let path = if body.contains("choices") { CHAT } else { "/v1/messages" };
        assert_eq!(stream(path, body.clone()).read().outcome, Outcome::Truncated, "{body}");
    }
}
