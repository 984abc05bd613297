//! Rules of the specification that the recorded exchanges leave open.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use modash_metering::{BodyEnd, Dialect, Limits, Meter, Operation, Outcome, UsageSource};
use std::time::Duration;
use support::{counts, document, stream};

const CHAT: &str = "/v1/chat/completions";

fn meter(path: &str, body: &str) -> Meter {
    let mut meter =
        Meter::new(&Method::POST, &path.parse().unwrap(), &HeaderMap::new(), Limits::default());
    meter.request_data(body.as_bytes());
    meter.request_end();
    meter
}

#[test]
fn a_meter_can_be_handed_from_thread_to_thread() {
    fn is_send<T: Send + std::fmt::Debug>() {}
    is_send::<Meter>();
    is_send::<modash_metering::inject::Injection>();
    is_send::<modash_metering::inject::ResponseFilter>();
}

#[test]
fn paths_tell_the_dialect_under_any_prefix() {
    for (path, dialect) in [
        ("/v1/chat/completions", "openai-chat"),
        ("/api/v1/chat/completions/", "openai-chat"),
        ("/api/v0/chat/completions?x=1", "openai-chat"),
        ("/tenant/7/openai/v1/responses", "openai-responses"),
        ("/v1/responses/resp_1", "openai-responses"),
        ("/v1/responses/resp_1/cancel", "openai-responses"),
        ("/v1/responses/resp_1/input_items", "unknown"),
        ("/v1/messages", "anthropic-messages"),
        ("/anthropic/v1/messages/count_tokens", "anthropic-count-tokens"),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/c@1:rawPredict",
            "anthropic-messages",
        ),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
            "anthropic-count-tokens",
        ),
        ("/v1/threads/t_1/messages", "unknown"),
        ("/v1beta/models/g:generateContent", "gemini-generate"),
        ("/v1beta/models/g:countTokens", "unknown"),
        ("/v1beta/models/g:embedContent", "gemini-embed"),
        ("/v1beta/models/g:batchEmbedContents", "gemini-embed"),
        ("/v1beta/interactions", "gemini-interactions"),
        ("/v1beta/interactions/v1_x", "gemini-interactions"),
        ("/v1/projects/p/locations/l/endpoints/123:generateContent", "gemini-generate"),
        ("/model/m/converse", "bedrock-converse"),
        ("/model/m/invoke-with-response-stream", "bedrock-invoke"),
        ("/api/chat", "ollama-chat"),
        ("/api/generate", "ollama-generate"),
        ("/api/embed", "ollama-embed"),
        ("/api/embeddings", "openai-embeddings"),
        ("/api/v1/chat", "lmstudio-chat"),
        ("/v1/chat", "cohere-chat"),
        ("/v2/chat", "cohere-chat"),
        ("/v1/audio/translations", "openai-audio-transcription"),
        ("/v1/audio/speech", "openai-audio-speech"),
        ("/v1/images/edits", "openai-images"),
        ("/v1/moderations", "openai-moderations"),
        ("/reranking", "rerank"),
        ("/v1/realtime?model=x", "openai-realtime"),
        ("/completion", "llamacpp-completion"),
        ("/infill", "llamacpp-completion"),
        ("/completions", "llamacpp-completion"),
        ("/v1/completions", "openai-completions"),
        ("/generate", "tgi-generate"),
        ("/v1/models", "unknown"),
        ("/v1/files", "unknown"),
        ("/", "unknown"),
    ] {
        assert_eq!(meter(path, "").dialect().id(), dialect, "{path}");
    }
    assert_eq!(Dialect::ALL.len(), 25);
}

#[test]
fn models_come_from_path_query_body_or_form() {
    for (path, body, model) in [
        ("/model/a%3Ab%2Fc/converse", "{}", Some("a:b/c")),
        ("/v1beta/models/g%2Dx:streamGenerateContent", r#"{"model":"other"}"#, Some("g-x")),
        ("/publishers/anthropic/models/c@20250514:rawPredict", "{}", Some("c@20250514")),
        ("/openai/deployments/d1/chat/completions", "{}", Some("d1")),
        ("/openai/deployments/d1/embeddings", "{}", Some("d1")),
        ("/openai/deployments/d1/chat/completions", r#"{"model":"m"}"#, Some("m")),
        ("/v1/engines/e1/completions", "{}", Some("e1")),
        ("/v1/realtime?x=1&model=a%2Fb", "", Some("a/b")),
        (CHAT, r#"{"m\u006fdel":"escaped"}"#, Some("escaped")),
        (CHAT, r#"{"messages":[{"model":"no"}],"model":"yes","model":"last"}"#, Some("last")),
        (CHAT, r#"{"model":7}"#, None),
        (CHAT, "\u{feff}{\"model\":\"m\"}", Some("m")),
        (CHAT, "not json", None),
    ] {
        assert_eq!(meter(path, body).model_requested(), model, "{path} {body}");
    }
    let long = format!(r#"{{"model":"{}"}}"#, "é".repeat(400));
    assert_eq!(meter(CHAT, &long).model_requested().unwrap(), "é".repeat(128));
}

#[test]
fn forms_give_model_stream_and_user_but_not_from_files() {
    let part = |head: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    };
    let body = [
        part("name=\"file\"; filename=\"model\"", "\r\n--c\r\nname=\"model\"\r\n\r\nno\r\n-"),
        part("name=\"x\"; filename=\"model.wav\"", "RIFF"),
        part("name=\"model\"", "whisper/é-1"),
        part("name=stream", "true"),
        "--b\r\ncontent-disposition:form-data;name=\"user\"\r\nContent-Type: text/plain\r\n\r\nu1\r\n--b--\r\n".to_owned(),
        part("name=\"model\"", "after the end"),
    ]
    .concat();
    for size in [1, 2, 3, 5, 7, 11, 64, 1000] {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("multipart/form-data; charset=utf-8; boundary=\"b\"");
        headers.insert("content-type", kind);
        let uri = "/v1/audio/transcriptions".parse().unwrap();
        let mut meter = Meter::new(&Method::POST, &uri, &headers, Limits::default());
        for piece in body.as_bytes().chunks(size) {
            meter.request_data(piece);
        }
        assert_eq!(meter.model_requested(), Some("whisper/é-1"), "{size}");
        assert!(meter.stream());
        assert_eq!(meter.user(), Some("u1"));
        assert_eq!(meter.operation(), Operation::Transcription);
    }
}

#[test]
fn users_are_named_in_three_ways() {
    for (body, user) in [
        (r#"{"user":"a","metadata":{"user_id":"b"}}"#, Some("a")),
        (r#"{"metadata":{"user_id":"b"}}"#, Some("b")),
        (r#"{"safety_identifier":"c"}"#, Some("c")),
        (r#"{"metadata":"x"}"#, None),
    ] {
        assert_eq!(meter(CHAT, body).user(), user);
    }
}

fn choices(events: &[(u64, u64)], end: &str) -> support::Exchange {
    let mut body = String::new();
    for (index, completion) in events {
        body.push_str(&format!("data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"x\"}}}}],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":{completion}}}}}\n\n"));
    }
    body.push_str(end);
    stream(CHAT, body)
}

#[test]
fn usage_by_choice_is_added_up_only_if_the_sum_did_not_come() {
    let events = [(0, 1), (1, 1), (0, 4), (1, 2)];
    let cut = choices(&events, "").read();
    assert_eq!(counts(&cut), [Some(5), None, Some(6), Some(11)]);
    assert_eq!(cut.source, UsageSource::UpstreamPartial);
    let sum = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n";
    assert_eq!(counts(&choices(&events, sum).read()), [Some(5), None, Some(7), Some(12)]);
}

#[test]
fn nothing_after_done_is_read() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5}}\n\n";
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let reading = stream(CHAT, format!("{text}data:  [DONE] \n\n{usage}")).read();
    assert_eq!((reading.tokens.prompt, reading.outcome), (None, Outcome::Complete));
}

#[test]
fn a_stream_that_is_answered_by_a_document_is_read_as_one() {
    let body = "\n \n{\"model\":\"m-1\",\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5}}\n";
    for kind in ["application/json", "text/event-stream", "text/plain"] {
        let mut exchange = stream(CHAT, body);
        exchange.headers = vec![("content-type", kind)];
        let reading = exchange.read();
        assert_eq!(reading.tokens.prompt, Some(5), "{kind}");
        assert_eq!(reading.outcome, Outcome::Complete);
        assert!(reading.stream);
    }
}

#[test]
fn the_bytes_tell_a_stream_whatever_the_content_type_says() {
    let body =
        "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5}}\n\n";
    for kind in ["application/json", "text/plain", "text/event-stream"] {
        let mut exchange = stream(CHAT, body);
        exchange.headers = vec![("content-type", kind)];
        assert_eq!(exchange.read().tokens.prompt, Some(5), "{kind}");
    }
    // Subtitles are not JSON and need not be.
    let mut text = document("/v1/audio/transcriptions", "data: 1\n00:00 --> 00:01");
    text.headers = vec![("content-type", "text/plain")];
    assert_eq!(text.read().outcome, Outcome::Complete);
}

#[test]
fn outcomes_are_those_of_the_specification() {
    let with = |status: u16, body: &str, end: BodyEnd| {
        let mut exchange = document(CHAT, body);
        (exchange.status, exchange.end) = (status, end);
        exchange.read().outcome
    };
    use BodyEnd::{Broken, Complete};
    let answer = r#"{"choices":[{"message":{"content":"a"}}]}"#;
    assert_eq!(with(200, answer, Complete), Outcome::Complete);
    assert_eq!(with(200, answer, Broken), Outcome::Complete);
    assert_eq!(with(200, "{", Complete), Outcome::Truncated);
    assert_eq!(with(200, "{} x", Complete), Outcome::Truncated);
    assert_eq!(with(204, "", Complete), Outcome::Complete);
    assert_eq!(with(304, "", Broken), Outcome::Complete);
    assert_eq!(with(200, "", Broken), Outcome::Truncated);
    assert_eq!(with(500, "", Complete), Outcome::Error);
    // An unknown API has no marks that could be missing.
    let unknown = |end| {
        let mut exchange = stream("/v9/x", "data: {\"usage\":{\"prompt_tokens\":1}}\n\n");
        exchange.end = end;
        exchange.read()
    };
    assert_eq!(unknown(Complete).outcome, Outcome::Complete);
    assert_eq!(unknown(Complete).tokens.prompt, Some(1));
    assert_eq!(unknown(Broken).outcome, Outcome::Truncated);
}

#[test]
fn without_an_answer_there_is_a_reading_too() {
    let reading = meter(CHAT, r#"{"model":"m"}"#).finish(BodyEnd::Broken, Duration::ZERO);
    assert_eq!(reading.model.as_deref(), Some("m"));
    assert_eq!((reading.outcome, reading.source), (Outcome::Truncated, UsageSource::NotReported));
}

#[test]
fn a_head_request_owes_no_body_and_informational_heads_are_passed_over() {
    let uri = CHAT.parse().unwrap();
    let mut meter = Meter::new(&Method::HEAD, &uri, &HeaderMap::new(), Limits::default());
    meter.response_head(StatusCode::CONTINUE, &HeaderMap::new());
    meter.response_head(StatusCode::OK, &HeaderMap::new());
    assert_eq!(meter.finish(BodyEnd::Complete, Duration::ZERO).outcome, Outcome::Complete);
}

#[test]
fn the_answer_tells_which_completions_api_it_is() {
    let openai = r#"{"object":"text_completion","id":"c","usage":{"prompt_tokens":2,"completion_tokens":3}}"#;
    let reading = document("/completions", openai).read();
    assert_eq!(reading.dialect, Dialect::OpenAiCompletions);
    assert_eq!(counts(&reading), [Some(2), None, Some(3), Some(5)]);
    let several = r#"[{"content":"a","tokens_evaluated":2,"tokens_predicted":3,"stop":true,"stop_type":"eos"},
        {"content":"b","tokens_evaluated":4,"tokens_predicted":5,"stop":true}]"#;
    let reading = document("/completions", several).read();
    assert_eq!(reading.dialect, Dialect::LlamaCppCompletion);
    assert_eq!(counts(&reading), [Some(6), None, Some(8), Some(14)]);
    assert_eq!((reading.outcome, reading.content_events), (Outcome::Complete, 0));
    assert_eq!(reading.realtime, Vec::new());
}

#[test]
fn thoughts_of_gemini_are_added_unless_they_are_inside() {
    let path = "/v1beta/models/g:generateContent";
    let usage =
        |text: &str| counts(&document(path, format!(r#"{{"usageMetadata":{{{text}}}}}"#)).read());
    assert_eq!(
        usage(
            r#""promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":3,"totalTokenCount":18"#
        ),
        [Some(10), None, Some(8), Some(18)]
    );
    assert_eq!(
        usage(
            r#""promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":3,"totalTokenCount":15"#
        ),
        [Some(10), None, Some(5), Some(15)]
    );
    assert_eq!(
        usage(r#""promptTokenCount":10,"totalTokenCount":10"#),
        [Some(10), None, None, Some(10)]
    );
}

#[test]
fn an_error_of_gemini_may_be_wrapped_in_an_array() {
    let body = "[{\n  \"error\": {\"code\": 429, \"status\": \"RESOURCE_EXHAUSTED\"}\n}\n]";
    let mut exchange = document("/v1beta/models/g:streamGenerateContent", body);
    exchange.status = 429;
    let reading = exchange.read();
    assert_eq!(reading.error_type.as_deref(), Some("RESOURCE_EXHAUSTED"));
    assert_eq!(reading.outcome, Outcome::Error);
}

#[test]
fn kinds_of_errors_are_taken_in_order() {
    for (body, headers, kind) in [
        (r#"{"error":{"type":"t","code":"c"}}"#, None, "t"),
        (r#"{"error":{"type":null,"metadata":{"error_type":"m"},"code":1}}"#, None, "m"),
        (r#"{"error":{"status":"S","code":1}}"#, None, "S"),
        (r#"{"error":{"code":"c"}}"#, None, "c"),
        (r#"{"error":{"code":7}}"#, None, "7"),
        (r#"{"error":"text","error_type":"overloaded"}"#, None, "overloaded"),
        (r#"{"object":"error","type":"T"}"#, None, "T"),
        (r#"{"type":"T"}"#, None, "http_400"),
        (r#"{"message":"m"}"#, Some("ThrottlingException:http://x/"), "ThrottlingException"),
        (r#"{"__type":"com.amazon#ValidationException"}"#, None, "ValidationException"),
        ("<html>", None, "http_400"),
        ("", None, "http_400"),
    ] {
        let mut exchange = document(CHAT, body);
        exchange.status = 400;
        if let Some(value) = headers {
            exchange.headers.push(("x-amzn-errortype", value));
        }
        assert_eq!(exchange.read().error_type.as_deref(), Some(kind), "{body}");
    }
}

#[test]
fn iterations_of_anthropic_are_added_up_and_late_counts_win() {
    let reading = document(
        "/v1/messages",
        r#"{"usage":{"input_tokens":1,"output_tokens":1,"iterations":[]}}"#,
    )
    .read();
    assert_eq!(counts(&reading), [Some(1), None, Some(1), Some(2)]);
    let events = [
        r#"{"type":"message_start","message":{"id":"i","usage":{"input_tokens":0,"output_tokens":1}}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":30,"output_tokens":9,"cache_read_input_tokens":null}}"#,
        r#"{"type":"message_delta","delta":{},"usage":{"input_tokens":0,"output_tokens":"12"}}"#,
    ];
    let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let reading = stream("/v1/messages", body).read();
    assert_eq!(counts(&reading), [Some(30), None, Some(12), Some(42)]);
}
