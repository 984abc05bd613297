//! The ways in which other products misread usage, by their numbers in
//! docs/metering.md.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method};
use modash_metering::{BodyEnd, Limits, Meter, Outcome, UsageSource};
use support::{Exchange, counts, document, fixture, stream};

const CHAT: &str = "/v1/chat/completions";

fn chat(events: &[&str]) -> Exchange {
    let mut body = String::new();
    for event in events {
        body.push_str(&format!("data: {event}\n\n"));
    }
    stream(CHAT, body)
}

const FINAL: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100,"prompt_tokens_details":{"cached_tokens":900}}}"#;

#[test]
fn case_01_and_02_usage_beside_choices_is_read_and_never_replaced() {
    let hello = r#"{"choices":[{"index":0,"delta":{"content":"hello"}}]}"#;
    let reading = chat(&[hello, FINAL, "[DONE]"]).read();
    assert_eq!(counts(&reading), [Some(1000), Some(900), Some(100), Some(1100)]);
    assert_eq!(reading.source, UsageSource::Upstream);
}

#[test]
fn case_03_zero_null_and_absent_are_three_things() {
    let cached = |member: &str| {
        let usage = format!(
            r#"{{"prompt_tokens":5,"completion_tokens":0,"prompt_tokens_details":{{{member}}}}}"#
        );
        let body = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        document(CHAT, body).read().tokens
    };
    assert_eq!(cached(r#""cached_tokens":0"#).cached_prompt, Some(0));
    assert_eq!(cached(r#""cached_tokens":null"#).cached_prompt, None);
    assert_eq!(cached("").cached_prompt, None);
    assert_eq!(cached("").completion, Some(0));
}

#[test]
fn case_04_null_siblings_are_tolerated() {
    let body = r#"{"choices":null,"usage":{"prompt_tokens":7,"completion_tokens":null,"prompt_tokens_details":{"audio_tokens":null,"cached_tokens":4},"completion_tokens_details":null}}"#;
    assert_eq!(counts(&document(CHAT, body).read()), [Some(7), Some(4), None, None]);
}

#[test]
fn case_05_to_09_cache_parts_are_inside_the_prompt_once_in_every_dialect() {
    for name in [
        "anthropic-messages/nonstream-cache-5m-1h",
        "bedrock-converse/nonstream-cache",
        "openai-chat/nonstream-cached-details",
        "openai-responses/nonstream-cache-write",
        "gemini-generate/nonstream-thoughts-cached-tools",
    ] {
        let fixture = fixture(name);
        let tokens = fixture.read(&[], &[], BodyEnd::Complete).tokens;
        let parts = tokens.cached_prompt.unwrap() + tokens.cache_write.unwrap_or(0);
        assert!(parts <= tokens.prompt.unwrap(), "{name}");
        assert_eq!(tokens.total, Some(tokens.prompt.unwrap() + tokens.completion.unwrap()));
    }
}

#[test]
fn case_10_the_implicit_cache_of_gemini_is_read() {
    let body = r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":90,"cachedContentTokenCount":64,"candidatesTokenCount":5,"totalTokenCount":95}}"#;
    let reading = document("/v1beta/models/g:generateContent", body).read();
    assert_eq!(counts(&reading), [Some(90), Some(64), Some(5), Some(95)]);
}

fn responses(kind: &str, more: &str) -> Exchange {
    let text = r#"{"type":"response.output_text.delta","delta":"hi"}"#;
    let response = format!(
        r#"{{"id":"r","model":"m-1","status":"{kind}","usage":{{"input_tokens":10,"output_tokens":4,"total_tokens":14}}{more}}}"#
    );
    let last = format!(r#"{{"type":"response.{kind}","response":{response}}}"#);
    stream("/v1/responses", format!("event: x\ndata: {text}\n\ndata: {last}\n\n"))
}

#[test]
fn case_11_to_13_every_terminal_event_of_responses_counts() {
    for (kind, outcome) in [
        ("completed", Outcome::Complete),
        ("incomplete", Outcome::Complete),
        ("cancelled", Outcome::Complete),
        ("failed", Outcome::Error),
    ] {
        let reading = responses(kind, "").read();
        assert_eq!(counts(&reading), [Some(10), None, Some(4), Some(14)], "{kind}");
        assert_eq!(reading.outcome, outcome);
        assert_eq!(reading.source, UsageSource::Upstream);
        assert_eq!(reading.finish_reason.as_deref(), Some(kind));
    }
    let reading =
        responses("incomplete", r#","incomplete_details":{"reason":"content_filter"}"#).read();
    assert_eq!(reading.finish_reason.as_deref(), Some("content_filter"));
}

/// A server's text message, in a frame of its own.
fn message(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(short) if short < 126 => frame.push(u8::try_from(short).unwrap()),
        Ok(medium) => {
            frame.push(126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        Err(_) => {
            frame.push(127);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[test]
fn case_14_responses_over_websocket_are_added_up() {
    let done = |id: &str, input: u64| {
        format!(
            r#"{{"type":"response.completed","response":{{"id":"{id}","status":"completed","usage":{{"input_tokens":{input},"output_tokens":2}}}}}}"#
        )
    };
    let delta = r#"{"type":"response.output_text.delta","delta":"hi"}"#;
    let ping = vec![0x89, 0];
    let body =
        [message(delta), ping, message(&done("a", 5)), message(delta), message(&done("b", 9))];
    let mut exchange = stream("/v1/responses", body.concat());
    exchange.status = 101;
    exchange.headers.clear();
    let reading = exchange.read();
    assert_eq!(counts(&reading), [Some(14), None, Some(4), Some(18)]);
    assert_eq!(reading.realtime.len(), 2);
    assert_eq!(reading.realtime[1].response_id.as_deref(), Some("b"));
    assert_eq!(reading.response_id.as_deref(), Some("a"));
    assert_eq!((reading.outcome, reading.source), (Outcome::Complete, UsageSource::Upstream));
    assert_eq!(reading.content_events, 2);
}

#[test]
fn case_14_fragments_masks_and_compression_of_websockets_are_undone() {
    let done = r#"{"type":"response.done","response":{"id":"a","status":"completed","usage":{"input_tokens":5,"output_tokens":2}}}"#;
    let (one, two) = done.as_bytes().split_at(40);
    let mut fragments = vec![0x01, 40];
    fragments.extend_from_slice(one);
    fragments.extend([0x8a, 0x00, 0x80, 0x80 | u8::try_from(two.len()).unwrap(), 1, 2, 3, 4]);
    fragments.extend(two.iter().enumerate().map(|(at, byte)| byte ^ [1, 2, 3, 4][at % 4]));
    let mut deflate = flate2::Compress::new(Compression::default(), false);
    for _ in 0..2 {
        let mut packed = Vec::with_capacity(4096);
        deflate.compress_vec(done.as_bytes(), &mut packed, flate2::FlushCompress::Sync).unwrap();
        packed.truncate(packed.len() - 4);
        fragments.extend([0xc1, u8::try_from(packed.len()).unwrap()]);
        fragments.extend(packed);
    }
    let mut exchange = stream("/v1/realtime?model=r", fragments);
    exchange.status = 101;
    exchange.headers = vec![("sec-websocket-extensions", "permessage-deflate")];
    let reading = exchange.read();
    assert_eq!(counts(&reading), [Some(15), None, Some(6), Some(21)]);
    assert_eq!(reading.realtime.len(), 3);
}

// 15, 16: tests/inject.rs.

#[test]
fn case_17_a_usage_chunk_that_nobody_asked_for_is_read_once() {
    let usage =
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
    let finish = r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#;
    let reading = chat(&[finish, usage, usage, "[DONE]", FINAL]).read();
    assert_eq!(counts(&reading), [Some(3), None, Some(2), Some(5)]);
}

#[test]
fn case_18_and_19_cuts_line_ends_and_missing_spaces_do_not_matter() {
    let text = r#"{"choices":[{"delta":{"content":"héllo ✓ \ud83d\ude00"}}]}"#;
    for end in ["\n", "\r\n", "\r"] {
        let body =
            format!("data:{text}{end}{end}:x{end}data: {FINAL}{end}{end}data:[DONE]{end}{end}");
        let reading = stream(CHAT, body).read();
        assert_eq!(counts(&reading), [Some(1000), Some(900), Some(100), Some(1100)], "{end:?}");
        assert_eq!(reading.content_events, 1);
        let offset = (5 + text.len() + 2 * end.len()) as u64;
        assert_eq!(reading.first_token_offset, Some(offset));
    }
}

#[test]
fn case_20_cache_fields_of_anthropic_are_read() {
    let reading =
        fixture("anthropic-messages/nonstream-cache-5m-1h").read(&[], &[], BodyEnd::Complete);
    assert_eq!(reading.tokens.cached_prompt, Some(18_000));
    assert_eq!(reading.tokens.cache_write, Some(556));
    assert_eq!(reading.tokens.cache_write_1h, Some(100));
}

#[test]
fn case_21_speeds_are_two_figures_from_uncached_tokens() {
    let mut meter = chat(&[]).meter();
    let event = |text: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    meter.response_data(event("a").as_bytes(), Duration::from_millis(500));
    meter.response_data(event("b").as_bytes(), Duration::from_millis(1000));
    meter.response_data(event("c").as_bytes(), Duration::from_millis(1500));
    meter.response_data(format!("data: {FINAL}\n\n").as_bytes(), Duration::from_millis(9000));
    let reading = meter.finish(BodyEnd::Complete, Duration::from_secs(10));
    // 1000 prompt tokens of which 900 were cached, in half a second.
    assert_eq!(reading.prefill_tokens_per_second, Some(200.0));
    // 99 tokens after the first one, in one second: usage and end do not count.
    assert_eq!(reading.decode_tokens_per_second, Some(99.0));
    assert_eq!(reading.speed_source, Some(modash_metering::SpeedSource::Measured));
    assert_eq!(reading.gaps.count(), 2);
    let timed =
        fixture("openai-chat/llamacpp-timings-without-usage").read(&[], &[], BodyEnd::Complete);
    assert_eq!(timed.decode_tokens_per_second, Some(52.9449));
    assert_eq!(timed.speed_source, Some(modash_metering::SpeedSource::Upstream));
    let plain = fixture("openai-chat/nonstream-cached-details").read(&[], &[], BodyEnd::Complete);
    assert_eq!((plain.prefill_tokens_per_second, plain.decode_tokens_per_second), (None, None));
}

#[test]
fn case_22_no_usage_is_said_to_be_none() {
    let reading = fixture("openai-chat/stream-usage-absent").read(&[], &[], BodyEnd::Complete);
    assert_eq!(reading.source, UsageSource::NotReported);
    assert_eq!(counts(&reading), [None; 4]);
}

#[test]
fn case_23_to_26_and_34_a_client_that_leaves_after_the_terminal_mark_had_everything() {
    for (name, mark) in [
        ("openai-responses/stream-reasoning-first", "event: response.completed"),
        ("anthropic-messages/stream-thinking-ping", "event: message_stop"),
        ("openai-chat/stream-usage-null-until-last", "data: [DONE]"),
    ] {
        let fixture = fixture(name);
        let text = String::from_utf8(fixture.response_body.clone()).unwrap();
        let mut meter = fixture.meter();
        meter.request_data(&fixture.request_body);
        meter.request_end();
        meter.response_head(fixture.status, &fixture.response_headers);
        let start = text.find(mark).unwrap();
        let end = start + text[start..].find("\n\n").unwrap() + 2;
        meter.response_data(&text.as_bytes()[..end], Duration::from_secs(1));
        assert!(meter.is_complete(), "{name}");
        let reading = meter.finish(BodyEnd::Broken, Duration::from_secs(1));
        assert_eq!(fixture.differences(&reading), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn case_27_to_30_a_client_that_leaves_early_leaves_what_was_seen_and_nothing_more() {
    let fixture = fixture("anthropic-messages/stream-thinking-ping");
    let mut meter = fixture.meter();
    meter.request_data(&fixture.request_body);
    meter.response_head(fixture.status, &fixture.response_headers);
    meter.response_data(&fixture.response_body[..900], Duration::from_secs(1));
    assert!(!meter.is_complete());
    let reading = meter.finish(BodyEnd::Broken, Duration::from_secs(1));
    assert_eq!(reading.source, UsageSource::UpstreamPartial);
    assert_eq!(reading.outcome, Outcome::Truncated);
    assert_eq!(reading.tokens.prompt, Some(4121));
    let mut early = chat(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#]);
    early.end = BodyEnd::Broken;
    assert_eq!(early.read().source, UsageSource::NotReported);
}

#[test]
fn case_31_errors_inside_a_success_are_errors() {
    let error = r#"{"error":{"type":"server_error","message":"x"}}"#;
    let old = r#"{"object":"error","message":"x","type":"BadRequestError","code":400}"#;
    let number = r#"{"error":{"code":503,"message":"x"}}"#;
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error"}}"#;
    for (exchange, kind) in [
        (chat(&[error, "[DONE]"]), "server_error"),
        (chat(&[old]), "BadRequestError"),
        (chat(&[number]), "503"),
        (
            stream("/v1/messages", format!("event: error\ndata: {overloaded}\n\n")),
            "overloaded_error",
        ),
        (responses("failed", r#","error":{"code":"server_error"}"#), "server_error"),
        (
            stream("/v1/responses", "data: {\"type\":\"error\",\"code\":\"rate_limited\"}\n\n"),
            "rate_limited",
        ),
        (document(CHAT, error), "server_error"),
        (document("/api/chat", r#"{"error":"model not found"}"#), "error"),
    ] {
        let reading = exchange.read();
        assert_eq!(reading.outcome, Outcome::Error, "{kind}");
        assert_eq!(reading.error_type.as_deref(), Some(kind));
    }
}

#[test]
fn case_32_an_empty_success_is_seen_as_empty() {
    assert_eq!(chat(&[]).read().outcome, Outcome::Empty);
    assert_eq!(document(CHAT, "").read().outcome, Outcome::Empty);
    // A stream of comments has bytes, but no end.
    assert_eq!(stream(CHAT, ": ping\n\n").read().outcome, Outcome::Truncated);
}

// 33: the gauge follows the body in the proxy.

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn case_35_gzip_of_messages_errors_and_streams_is_read() {
    let mut error =
        document("/v1/messages", gzip(br#"{"type":"error","error":{"type":"api_error"}}"#));
    error.status = 500;
    error.headers.push(("content-encoding", "gzip"));
    assert_eq!(error.read().error_type.as_deref(), Some("api_error"));
    // The header is stale: the body is plain.
    let mut stale = document(CHAT, r#"{"usage":{"prompt_tokens":1}}"#);
    stale.headers.push(("content-encoding", "gzip"));
    let reading = stale.read();
    assert_eq!((reading.outcome, reading.source), (Outcome::Truncated, UsageSource::Unparseable));
    // A member for each event, and an empty one between.
    let body: Vec<u8> = [
        gzip(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"),
        gzip(b""),
        gzip(format!("data: {FINAL}\n\n").as_bytes()),
        gzip(b"data: [DONE]\n\n"),
    ]
    .concat();
    let mut members = stream(CHAT, body);
    members.headers.push(("content-encoding", "gzip"));
    assert_eq!(counts(&members.read()), [Some(1000), Some(900), Some(100), Some(1100)]);
}

#[test]
fn case_36_flushed_brotli_is_read_event_by_event() {
    // Made with a compressor that flushes after each event.
    let events = [
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n".to_owned(),
        format!("data: {FINAL}\n\n"),
    ];
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
    let mut flushed = Vec::new();
    for event in &events {
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        flushed.push(encoder.get_ref().len());
    }
    let body = encoder.into_inner();
    let mut exchange = stream(CHAT, body.clone());
    exchange.headers.push(("content-encoding", "br"));
    let mut meter = exchange.meter();
    meter.response_data(&body[..flushed[0]], Duration::from_millis(1));
    assert_eq!(meter.content_events(), 1);
    meter.response_data(&body[flushed[0]..flushed[1]], Duration::from_millis(2));
    assert!(meter.is_complete());
    assert_eq!(counts(&exchange.read()), [Some(1000), Some(900), Some(100), Some(1100)]);
}

#[test]
fn case_37_one_zstd_frame_for_each_event_is_read() {
    let frame = |text: &str| zstd::bulk::compress(text.as_bytes(), 3).unwrap();
    let frames = [
        frame("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"),
        frame(&format!("data: {FINAL}\n\n")),
        frame("data: [DONE]\n\n"),
    ];
    let mut exchange = stream(CHAT, frames.concat());
    exchange.headers.push(("content-encoding", "zstd"));
    assert_eq!(counts(&exchange.read()), [Some(1000), Some(900), Some(100), Some(1100)]);
    let mut meter = exchange.meter();
    meter.response_data(&frames[0], Duration::from_millis(1));
    assert_eq!(meter.content_events(), 1);
}

#[test]
fn case_38_a_body_of_100_mb_is_read_in_constant_memory() {
    let uri = CHAT.parse().unwrap();
    let mut meter = Meter::new(&Method::POST, &uri, &HeaderMap::new(), Limits::default());
    meter.request_data(br#"{"messages":[{"role":"user","content":""#);
    let text = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        meter.request_data(&text);
    }
    meter.request_data(br#""}],"model":"late","stream":true}"#);
    meter.request_end();
    assert_eq!(meter.model_requested(), Some("late"));
    assert!(meter.stream());
    // tests/allocations.rs bounds what that held.
}

#[test]
fn case_39_the_model_of_a_compressed_request_is_found_and_bombs_are_not_read() {
    let body =
        br#"{"input":[{"role":"user","content":"hi"}],"model":"gpt-5.1-codex","stream":true}"#;
    let brotli = |bytes: &[u8]| {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        encoder.write_all(bytes).unwrap();
        encoder.into_inner()
    };
    let deflate = |bytes: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bomb = {
        let mut bomb = br#"{"input":""#.to_vec();
        bomb.resize(64 << 20, b'a');
        bomb.extend_from_slice(br#"","model":"behind-the-bomb"}"#);
        bomb
    };
    let zstd = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).unwrap();
    for (coding, plain, exploding) in [
        ("zstd", zstd(body), zstd(&bomb)),
        ("gzip", gzip(body), gzip(&bomb)),
        ("deflate", deflate(body), deflate(&bomb)),
        ("br", brotli(body), brotli(&bomb[..16 << 20])),
        ("gzip, zstd", zstd(&gzip(body)), zstd(&gzip(&bomb))),
    ] {
        let meter = |bytes: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("content-encoding", HeaderValue::from_static(coding));
            let uri = "/v1/responses".parse().unwrap();
            let mut meter = Meter::new(&Method::POST, &uri, &headers, Limits::default());
            for piece in bytes.chunks(1000) {
                meter.request_data(piece);
            }
            meter.request_end();
            meter
        };
        assert_eq!(meter(&plain).model_requested(), Some("gpt-5.1-codex"), "{coding}");
        assert!(meter(&plain).stream());
        assert_eq!(meter(&exploding).model_requested(), None, "{coding}");
    }
}
