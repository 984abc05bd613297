//! Counts are found wherever servers put them, under whatever name, and become
//! one set: parts inside their totals, nothing counted twice.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use modash_metering::{Operation, Reading, UsageSource};
use support::{Exchange, counts, document, stream};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";

/// A chat completion with this usage.
fn chat(usage: &str) -> Reading {
    let choices = r#"[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]"#;
    document(CHAT, format!(r#"{{"id":"c","model":"m","choices":{choices},"usage":{usage}}}"#))
        .read()
}

fn sse(path: &'static str, events: &[&str]) -> Exchange {
    stream(path, events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>())
}

/// Prompt, cached, completion, total.
fn four(prompt: u64, cached: Option<u64>, completion: u64, total: u64) -> [Option<u64>; 4] {
    [Some(prompt), cached, Some(completion), Some(total)]
}

#[test]
fn what_is_written_to_a_cache_for_an_hour_is_a_part_of_what_is_written() {
    for (usage, want) in [
        // Anthropic.
        (
            r#"{"input_tokens":12,"output_tokens":8,"cache_creation_input_tokens":556,"cache_creation":{"ephemeral_5m_input_tokens":456,"ephemeral_1h_input_tokens":100}}"#,
            (Some(556), Some(100)),
        ),
        // Without their sum.
        (
            r#"{"input_tokens":1,"output_tokens":1,"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":3}}"#,
            (Some(5), Some(3)),
        ),
        // More than all of it.
        (
            r#"{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":2,"cache_creation":{"ephemeral_1h_input_tokens":3}}"#,
            (Some(2), Some(2)),
        ),
        (
            r#"{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":2}"#,
            (Some(2), None),
        ),
    ] {
        let tokens = chat(usage).tokens;
        assert_eq!((tokens.cache_write, tokens.cache_write_1h), want, "{usage}");
    }
}

#[test]
fn names_of_every_vendor_are_read_on_a_chat_path() {
    for (usage, want) in [
        (r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}"#, four(9, None, 4, 13)),
        (r#"{"input_tokens":9,"output_tokens":4}"#, four(9, None, 4, 13)),
        (r#"{"promptTokens":9,"completionTokens":4,"totalTokens":13}"#, four(9, None, 4, 13)),
        (r#"{"inputTokens":9,"outputTokens":4}"#, four(9, None, 4, 13)),
        (r#"{"prompt_tokens":"9","completion_tokens":4.0}"#, four(9, None, 4, 13)),
        // DeepSeek.
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":3}"#,
            four(9, Some(6), 4, 13),
        ),
        // LiteLLM: the names of Anthropic beside a whole prompt.
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"cache_read_input_tokens":6,"cache_creation_input_tokens":0}"#,
            four(9, Some(6), 4, 13),
        ),
        // Anthropic's shape as it is.
        (
            r#"{"input_tokens":3,"output_tokens":4,"cache_read_input_tokens":6}"#,
            four(9, Some(6), 4, 13),
        ),
        // Gateways that give both.
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"input_tokens":0,"output_tokens":0,"prompt_tokens_details":{"cached_tokens":6}}"#,
            four(9, Some(6), 4, 13),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":null}"#,
            four(9, None, 4, 13),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":null},"cached_tokens":6}"#,
            four(9, Some(6), 4, 13),
        ),
    ] {
        let reading = chat(usage);
        assert_eq!(counts(&reading), want, "{usage}");
        assert_eq!(reading.source, UsageSource::Upstream, "{usage}");
    }
}

#[test]
fn usage_is_found_where_servers_put_it() {
    let usage = r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}"#;
    for body in [
        format!(r#"{{"choices":[{{"index":0,"finish_reason":"stop","usage":{usage}}}]}}"#),
        format!(r#"{{"choices":[{{"index":0,"usage":{usage}}}],"usage":{{}}}}"#),
        format!(r#"{{"choices":[{{"index":0,"usage":{usage}}}],"usage":null}}"#),
        format!(r#"{{"choices":[],"x_groq":{{"usage":{usage}}}}}"#),
        format!(r#"{{"code":0,"data":{{"choices":[],"usage":{usage}}}}}"#),
        format!(r#"{{"result":{{"choices":[],"usage":{usage}}}}}"#),
        format!(r#"{{"response":{{"choices":[],"usage":{usage}}}}}"#),
        format!(r#"{{"choices":[],"usageMetadata":{usage}}}"#),
    ] {
        let reading = document(CHAT, body.clone()).read();
        assert_eq!(counts(&reading), four(9, None, 4, 13), "{body}");
        let reading = sse(CHAT, &[&body, "[DONE]"]).read();
        assert_eq!(counts(&reading), four(9, None, 4, 13), "stream of {body}");
    }
}

#[test]
fn a_repeated_or_later_null_place_does_not_bring_counts_back() {
    let body = r#"{"choices":[],"usage":{"prompt_tokens":9},"usage":null}"#;
    assert_eq!(counts(&document(CHAT, body).read()), [None; 4]);
    let body = r#"{"choices":[{"usage":{"prompt_tokens":9}}],"choices":[]}"#;
    assert_eq!(counts(&document(CHAT, body).read()), [None; 4]);
    let body = r#"{"choices":[],"usage":{"prompt_tokens":9},"usage":{"completion_tokens":2}}"#;
    assert_eq!(counts(&document(CHAT, body).read()), [None, None, Some(2), None]);
}

#[test]
fn choices_with_counts_of_their_own_share_the_prompt() {
    let body = r#"{"choices":[{"index":0,"usage":{"prompt_tokens":9,"completion_tokens":4}},
        {"index":1,"usage":{"prompt_tokens":9,"completion_tokens":5}}]}"#;
    assert_eq!(counts(&document(CHAT, body).read()), four(9, None, 9, 18));
}

#[test]
fn timings_of_llamacpp_count_in_every_stream() {
    let timings = r#""timings":{"cache_n":24,"prompt_n":5,"predicted_n":6,"prompt_per_second":50.0,"predicted_per_second":20.0}"#;
    for (path, event) in [
        (CHAT, format!(r#"{{"choices":[{{"index":0,"finish_reason":"stop"}}],{timings}}}"#)),
        (
            RESPONSES,
            format!(
                r#"{{"type":"response.completed","response":{{"status":"completed"}},{timings}}}"#
            ),
        ),
        (
            MESSAGES,
            format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},{timings}}}"#),
        ),
    ] {
        let reading = sse(path, &[&event]).read();
        assert_eq!(counts(&reading), four(29, Some(24), 6, 35), "{path}");
        assert_eq!(reading.decode_tokens_per_second, Some(20.0), "{path}");
        assert_eq!(reading.prefill_tokens_per_second, Some(50.0), "{path}");
    }
}

#[test]
fn unknown_paths_are_read_by_the_shape_of_the_answer() {
    let openai = r#"{"id":"i","object":"chat.completion","model":"x","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#;
    let anthropic = r#"{"id":"i","type":"message","model":"x","stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":6,"output_tokens":4}}"#;
    let gemini = r#"{"responseId":"i","modelVersion":"x","candidates":[{"index":0,"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"thoughtsTokenCount":1,"totalTokenCount":13}}"#;
    let cohere = r#"{"id":"i","finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5},"tokens":{"input_tokens":9,"output_tokens":4}}}"#;
    let responses = r#"{"id":"i","object":"response","model":"x","status":"completed","usage":{"input_tokens":9,"output_tokens":4,"total_tokens":13}}"#;
    let plain =
        r#"{"id":"i","model":"x","answer":"hi","usage":{"prompt_tokens":9,"completion_tokens":4}}"#;
    for (dialect, body) in [
        ("openai-chat", openai),
        ("anthropic-messages", anthropic),
        ("gemini-generate", gemini),
        ("cohere-chat", cohere),
        ("openai-responses", responses),
        ("openai-chat", plain),
    ] {
        for path in ["/score", "/serving-endpoints/e/invocations", "/acme/llm", "/"] {
            let reading = document(path, body).read();
            assert_eq!(reading.dialect.id(), dialect, "{path}: {body}");
            assert_eq!(reading.operation, Operation::Chat, "{path}: {body}");
            assert_eq!(reading.tokens.prompt, Some(9), "{path}: {body}");
            assert_eq!(reading.tokens.total, Some(13), "{path}: {body}");
            assert_eq!(reading.response_id.as_deref(), Some("i"), "{path}: {body}");
        }
    }
    let named = document("/serving-endpoints/databricks-x/invocations", plain);
    assert_eq!(
        Exchange { request: b"{}".to_vec(), ..named }.read().model_requested.as_deref(),
        Some("databricks-x")
    );
}

#[test]
fn streams_on_unknown_paths_are_read_by_shape() {
    let openai = [
        r#"{"id":"i","object":"chat.completion.chunk","model":"x","choices":[{"index":0,"delta":{"content":"hi"}}]}"#,
        r#"{"id":"i","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"i","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#,
        "[DONE]",
    ];
    let anthropic = [
        r#"{"type":"message_start","message":{"id":"i","model":"x","usage":{"input_tokens":9,"output_tokens":1}}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"stop"},"usage":{"output_tokens":4}}"#,
    ];
    let responses = [
        r#"{"type":"response.created","response":{"id":"i","model":"x","usage":null}}"#,
        r#"{"type":"response.output_text.delta","delta":"hi"}"#,
        r#"{"type":"response.completed","response":{"id":"i","status":"stop","usage":{"input_tokens":9,"output_tokens":4}}}"#,
    ];
    for events in [&openai[..], &anthropic, &responses] {
        let reading = sse("/company/answer", events).read();
        assert_eq!(counts(&reading), four(9, None, 4, 13), "{}", events[0]);
        assert_eq!(reading.model.as_deref(), Some("x"), "{}", events[0]);
        assert_eq!(reading.finish_reason.as_deref(), Some("stop"), "{}", events[0]);
        assert!(reading.first_content_at.is_some(), "{}", events[0]);
    }
}

#[test]
fn what_is_no_answer_of_a_model_stays_unknown() {
    for body in [r#"{"ok":true}"#, r#"{"error":"x"}"#, "[1,2]", r#"{"type":"event","id":"i"}"#] {
        let reading = document("/hooks/x", body).read();
        assert_eq!(reading.dialect.id(), "unknown", "{body}");
        assert_eq!(counts(&reading), [None; 4], "{body}");
    }
}

#[test]
fn embeddings_under_any_path_and_gemini_embeddings_count_their_prompt() {
    for (path, body) in [
        (
            "/embed",
            r#"{"object":"list","data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#,
        ),
        (
            "/v1beta/models/g:embedContent",
            r#"{"embedding":{"values":[0.1]},"usageMetadata":{"promptTokenCount":5}}"#,
        ),
        (
            "/v1beta/models/g:batchEmbedContents",
            r#"{"embeddings":[],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}"#,
        ),
        ("/v1/embeddings", r#"{"data":[],"usage":{"total_tokens":5}}"#),
        ("/v1/embeddings", r#"{"data":[],"usage":{"prompt_tokens":5,"completion_tokens":0}}"#),
    ] {
        let reading = document(path, body).read();
        assert_eq!(counts(&reading), [Some(5), None, None, Some(5)], "{path}");
        assert_eq!(reading.operation, Operation::Embedding, "{path}");
    }
}

#[test]
fn interactions_are_read_as_a_stream_too() {
    let reading = sse(
        "/v1beta/interactions",
        &[
            r#"{"event_type":"interaction.created","interaction":{"id":"v1","model":"g","status":"in_progress"}}"#,
            r#"{"event_type":"step.start","index":0,"step":{"type":"thought"}}"#,
            r#"{"event_type":"step.delta","index":1,"delta":{"type":"text","text":"1, 2"}}"#,
            r#"{"event_type":"interaction.completed","interaction":{"id":"v1","status":"completed","usage":{"total_input_tokens":120,"total_cached_tokens":64,"total_output_tokens":30,"total_thought_tokens":25,"total_tokens":175}}}"#,
        ],
    )
    .read();
    assert_eq!(counts(&reading), four(120, Some(64), 55, 175));
    assert_eq!(reading.tokens.reasoning, Some(25));
    assert_eq!(reading.model.as_deref(), Some("g"));
    assert_eq!((reading.content_events, reading.response_id.as_deref()), (1, Some("v1")));
}

/// A message whose start and end report these counts.
fn message(start: &str, end: &str) -> Reading {
    sse(
        MESSAGES,
        &[
            &format!(r#"{{"type":"message_start","message":{{"id":"i","usage":{start}}}}}"#),
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#,
            &format!(
                r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{end}}}"#
            ),
        ],
    )
    .read()
}

#[test]
fn a_split_at_the_end_of_a_message_replaces_the_whole_at_its_start() {
    for (start, end, want) in [
        // Kimi, with and without the whole beside the split.
        (
            r#"{"input_tokens":100,"output_tokens":0}"#,
            r#"{"input_tokens":20,"cache_read_input_tokens":80,"output_tokens":5}"#,
            four(100, Some(80), 5, 105),
        ),
        (
            r#"{"input_tokens":100,"output_tokens":0,"cache_read_input_tokens":0}"#,
            r#"{"input_tokens":20,"cache_read_input_tokens":80,"prompt_tokens":100,"output_tokens":5}"#,
            four(100, Some(80), 5, 105),
        ),
        // All of it from the cache.
        (
            r#"{"input_tokens":100,"output_tokens":0}"#,
            r#"{"input_tokens":0,"cache_read_input_tokens":100,"output_tokens":5}"#,
            four(100, Some(100), 5, 105),
        ),
        (
            r#"{"input_tokens":100,"output_tokens":0,"cache_read_input_tokens":0,"cache_creation_input_tokens":0}"#,
            r#"{"input_tokens":0,"cache_read_input_tokens":100,"cache_creation_input_tokens":0,"output_tokens":5}"#,
            four(100, Some(100), 5, 105),
        ),
        // DashScope names only the part.
        (
            r#"{"input_tokens":100,"output_tokens":0}"#,
            r#"{"cache_read_input_tokens":80,"cache_creation_input_tokens":0,"output_tokens":5}"#,
            four(100, Some(80), 5, 105),
        ),
        (
            r#"{"input_tokens":100,"output_tokens":0,"cache_read_input_tokens":0}"#,
            r#"{"cache_read_input_tokens":100,"output_tokens":5}"#,
            four(100, Some(100), 5, 105),
        ),
        // Anthropic itself.
        (
            r#"{"input_tokens":20,"cache_read_input_tokens":80,"output_tokens":1}"#,
            r#"{"output_tokens":5}"#,
            four(100, Some(80), 5, 105),
        ),
        (
            r#"{"input_tokens":20,"cache_read_input_tokens":80,"output_tokens":1}"#,
            r#"{"input_tokens":25,"cache_read_input_tokens":80,"output_tokens":5}"#,
            four(105, Some(80), 5, 110),
        ),
        (
            r#"{"input_tokens":20,"cache_read_input_tokens":80,"output_tokens":1}"#,
            r#"{"input_tokens":20,"output_tokens":5}"#,
            four(100, Some(80), 5, 105),
        ),
        // Zeros for what was said before.
        (
            r#"{"input_tokens":20,"cache_read_input_tokens":80,"output_tokens":1}"#,
            r#"{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":5}"#,
            four(100, Some(80), 5, 105),
        ),
        (
            r#"{"input_tokens":20,"cache_read_input_tokens":80,"output_tokens":1}"#,
            r#"{"input_tokens":0,"cache_read_input_tokens":80,"output_tokens":5}"#,
            four(100, Some(80), 5, 105),
        ),
        // All at the end.
        (
            r#"{"input_tokens":0,"output_tokens":0}"#,
            r#"{"input_tokens":20,"cache_read_input_tokens":80,"output_tokens":5}"#,
            four(100, Some(80), 5, 105),
        ),
    ] {
        assert_eq!(counts(&message(start, end)), want, "{start} then {end}");
    }
}

#[test]
fn generations_that_follow_each_other_in_one_body_add_up() {
    let anthropic = |id: &str| {
        [
            format!(r#"{{"type":"message_start","message":{{"id":"{id}","usage":{{"input_tokens":40,"output_tokens":1}}}}}}"#),
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#.to_owned(),
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":6}}"#.to_owned(),
        ]
    };
    let openai = |id: &str| {
        [
            format!(r#"{{"id":"{id}","choices":[{{"index":0,"delta":{{"content":"hi"}}}}]}}"#),
            format!(
                r#"{{"id":"{id}","choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}"#
            ),
            format!(
                r#"{{"id":"{id}","choices":[],"usage":{{"prompt_tokens":40,"completion_tokens":6,"total_tokens":46}}}}"#
            ),
        ]
    };
    let responses = |id: &str| {
        [
            format!(r#"{{"type":"response.created","response":{{"id":"{id}"}}}}"#),
            r#"{"type":"response.output_text.delta","delta":"hi"}"#.to_owned(),
            format!(
                r#"{{"type":"response.completed","response":{{"id":"{id}","status":"completed","usage":{{"input_tokens":40,"output_tokens":6,"total_tokens":46}}}}}}"#
            ),
        ]
    };
    let read = |path, events: Vec<String>| {
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        counts(&sse(path, &events).read())
    };
    let (once, twice) = (four(40, None, 6, 46), four(80, None, 12, 92));
    for (first, second, want) in [("a", "b", twice), ("a", "a", once)] {
        let both = |make: &dyn Fn(&str) -> [String; 3]| [make(first), make(second)].concat();
        assert_eq!(read(MESSAGES, both(&anthropic)), want, "messages {second}");
        assert_eq!(read(CHAT, both(&openai)), want, "chat {second}");
        assert_eq!(read(RESPONSES, both(&responses)), want, "responses {second}");
    }
}

#[test]
fn an_id_for_each_chunk_is_one_generation() {
    let reading = sse(
        CHAT,
        &[
            r#"{"id":"a","choices":[{"index":0,"delta":{"content":"hi"}}],"usage":{"prompt_tokens":40,"completion_tokens":1}}"#,
            r#"{"id":"b","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":2}}"#,
            r#"{"id":"","choices":[],"usage":{"prompt_tokens":40,"completion_tokens":2}}"#,
            "[DONE]",
        ],
    )
    .read();
    assert_eq!(counts(&reading), four(40, None, 2, 42));
}

#[test]
fn several_prompts_add_up_and_choices_of_one_prompt_do_not() {
    let part = |index: u64, prompt: u64| {
        format!(
            r#"{{"choices":[{{"index":{index},"text":"","finish_reason":"stop"}}],"usage":{{"prompt_tokens":{prompt},"completion_tokens":4,"total_tokens":{}}}}}"#,
            prompt + 4
        )
    };
    let closing = |prompt: u64| {
        format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":{prompt},"completion_tokens":4,"total_tokens":{}}}}}"#,
            prompt + 4
        )
    };
    let read = |request: &str, events: &[String]| {
        let mut events: Vec<&str> = events.iter().map(String::as_str).collect();
        events.push("[DONE]");
        let exchange = sse("/v1/completions", &events);
        counts(&Exchange { request: request.as_bytes().to_vec(), ..exchange }.read())
    };
    let two = r#"{"prompt":["a","b"],"stream":true}"#;
    let tokens = r#"{"prompt":[[1,2],[3]],"stream":true}"#;
    let one = r#"{"prompt":[1,2,3],"stream":true}"#;
    for request in [two, tokens] {
        assert_eq!(read(request, &[part(1, 4), part(0, 6)]), four(10, None, 8, 18), "{request}");
        assert_eq!(read(request, &[closing(4), closing(6)]), four(10, None, 8, 18), "{request}");
        assert_eq!(read(request, &[part(1, 4), part(0, 6), closing(10)]), four(10, None, 4, 14));
    }
    assert_eq!(read(one, &[closing(4), closing(4)]), four(4, None, 4, 8));
    assert_eq!(read(one, &[part(0, 4), part(1, 4)]), four(4, None, 4, 8));
}

#[test]
fn the_finish_reason_is_that_of_the_first_of_several_answers() {
    let body = r#"[{"index":0,"stop":true,"stop_type":"limit","tokens_evaluated":6,"tokens_predicted":4},
        {"index":1,"stop":true,"stop_type":"eos","tokens_evaluated":4,"tokens_predicted":4}]"#;
    let reading = document("/completion", body).read();
    assert_eq!(counts(&reading), four(10, None, 8, 18));
    assert_eq!(reading.finish_reason.as_deref(), Some("limit"));
    let body = r#"[{"choices":[{"index":0,"finish_reason":"length"}]},{"choices":[{"index":0,"finish_reason":"stop"}]}]"#;
    assert_eq!(document(CHAT, body).read().finish_reason.as_deref(), Some("length"));
}

#[test]
fn a_total_that_is_larger_than_its_parts_stays() {
    let usage = r#"{"prompt_tokens":20,"completion_tokens":198,"total_tokens":623}"#;
    assert_eq!(counts(&chat(usage)), four(20, None, 198, 623));
    let body = format!(r#"{{"model":"google/gemini-3-pro","choices":[],"usage":{usage}}}"#);
    assert_eq!(counts(&document(CHAT, body).read()), four(20, None, 603, 623));
    // One that is smaller is wrong.
    let usage = r#"{"prompt_tokens":20,"completion_tokens":5,"total_tokens":5}"#;
    assert_eq!(counts(&chat(usage)), four(20, None, 5, 25));
}

#[test]
fn reasoning_is_inside_the_completion_whatever_the_server_counted() {
    for (usage, completion, total) in [
        (
            r#"{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30,"completion_tokens_details":{"reasoning_tokens":6}}"#,
            10,
            30,
        ),
        (
            r#"{"prompt_tokens":20,"completion_tokens":10,"total_tokens":90,"completion_tokens_details":{"reasoning_tokens":60}}"#,
            70,
            90,
        ),
        (
            r#"{"prompt_tokens":20,"completion_tokens":10,"completion_tokens_details":{"reasoning_tokens":60}}"#,
            70,
            90,
        ),
        (r#"{"prompt_tokens":20,"completion_tokens":10,"reasoning_tokens":6}"#, 10, 30),
    ] {
        assert_eq!(counts(&chat(usage)), four(20, None, completion, total), "{usage}");
    }
}

#[test]
fn cached_tokens_are_never_more_than_the_prompt() {
    for (usage, want) in [
        (
            r#"{"prompt_tokens":79,"completion_tokens":20,"total_tokens":99,"prompt_tokens_details":{"cached_tokens":327}}"#,
            four(406, Some(327), 20, 426),
        ),
        // The total says that the cache was counted apart.
        (
            r#"{"prompt_tokens":500,"completion_tokens":20,"total_tokens":847,"prompt_tokens_details":{"cached_tokens":327}}"#,
            four(827, Some(327), 20, 847),
        ),
        (
            r#"{"prompt_tokens":500,"completion_tokens":20,"total_tokens":520,"prompt_tokens_details":{"cached_tokens":500}}"#,
            four(500, Some(500), 20, 520),
        ),
        (
            r#"{"prompt_tokens":0,"completion_tokens":20,"cached_tokens":500}"#,
            four(500, Some(500), 20, 520),
        ),
    ] {
        assert_eq!(counts(&chat(usage)), want, "{usage}");
    }
}

#[test]
fn zeros_beside_content_are_no_counts() {
    let zeros = r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#;
    let chunk =
        format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"hi"}}}}],"usage":{zeros}}}"#);
    let end = format!(
        r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":{zeros}}}"#
    );
    let reading = sse(CHAT, &[&chunk, &end, "[DONE]"]).read();
    assert_eq!(counts(&reading), [None; 4]);
    assert_eq!(reading.source, UsageSource::NotReported);
    // Beside an answer in one piece, too.
    let reading = chat(zeros);
    assert_eq!((counts(&reading), reading.source), ([None; 4], UsageSource::NotReported));
    // Nothing was generated.
    let body = format!(r#"{{"choices":[],"usage":{zeros}}}"#);
    assert_eq!(counts(&document(CHAT, body).read()), four(0, None, 0, 0));
}

#[test]
fn a_prompt_without_cached_tokens_stays_so_when_the_answer_breaks_off() {
    let start = r#"{"type":"message_start","message":{"id":"m","usage":{"cache_read_input_tokens":0,"input_tokens":35,"output_tokens":0}}}"#;
    let text =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#;
    let reading = sse(MESSAGES, &[start, text]).read();
    assert_eq!(counts(&reading), [Some(35), Some(0), None, Some(35)]);
    assert_eq!(reading.source, UsageSource::UpstreamPartial);
}

#[test]
fn the_id_of_an_error_document_is_no_response_id() {
    for (path, status, body) in [
        (CHAT, 500, r#"{"id":"err_1","error":{"type":"x"}}"#),
        (CHAT, 200, r#"{"id":"err_1","error":{"type":"x"}}"#),
        ("/v2/chat", 400, r#"{"id":"err_1","message":"no"}"#),
        ("/v2/rerank", 429, r#"{"id":"err_1","message":"no"}"#),
        ("/score", 400, r#"{"id":"err_1","message":"no"}"#),
        (RESPONSES, 400, r#"{"id":"err_1","error":{"type":"x"}}"#),
        (MESSAGES, 500, r#"{"type":"error","id":"err_1","error":{"type":"api_error"}}"#),
    ] {
        let mut exchange = document(path, body);
        exchange.status = status;
        assert_eq!(exchange.read().response_id, None, "{path} {status}");
    }
}

#[test]
fn costs_are_those_that_the_upstream_says() {
    for (usage, want) in [
        (r#"{"cost":0.95,"cost_details":{"upstream_inference_cost":19}}"#, 0.95),
        (r#"{"cost":0.002,"is_byok":true,"cost_details":{"upstream_inference_cost":0.04}}"#, 0.042),
        (r#"{"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":0.04}}"#, 0.04),
        (r#"{"cost":0.04,"is_byok":false,"cost_details":{"upstream_inference_cost":0.04}}"#, 0.04),
        (r#"{"cost":0.04,"cost_details":{"upstream_inference_cost":null}}"#, 0.04),
        (r#"{"cost":0,"is_byok":false}"#, 0.0),
        (r#"{"cost":"0.04"}"#, 0.04),
        (r#"{"cost_in_usd_ticks":37756000}"#, 0.003_775_6),
        (
            r#"{"cost":{"input_tokens_cost":0.01,"output_tokens_cost":0.02,"request_cost":0.005,"total_cost":0.035}}"#,
            0.035,
        ),
        (r#"{"estimated_cost":0.04}"#, 0.04),
    ] {
        let completed =
            format!(r#"{{"type":"response.completed","response":{{"id":"i","usage":{usage}}}}}"#);
        for reading in [chat(usage), sse(RESPONSES, &[&completed]).read()] {
            let cost = reading.tokens.upstream_cost_usd.unwrap();
            assert!((cost - want).abs() < 1e-12, "{usage}: {cost}");
        }
    }
}

#[test]
fn numbers_that_cannot_be_are_unknown() {
    for number in [
        "9223372036854775807",
        "18446744073709551615",
        "-1",
        "1e30",
        "1e400",
        "-5.5",
        "1000000000001",
        "\"9223372036854775807\"",
    ] {
        let usage = format!(
            r#"{{"prompt_tokens":{number},"completion_tokens":4,"total_tokens":{number},"cost":{number},"prompt_tokens_details":{{"cached_tokens":{number}}}}}"#
        );
        let reading = chat(&usage);
        assert_eq!(counts(&reading), [None, None, Some(4), None], "{number}");
        let cost = reading.tokens.upstream_cost_usd;
        assert_eq!(cost.filter(|_| number != "\"x\""), None, "{number}");
    }
    let body = r#"{"text":"hi","duration":315576000000}"#;
    assert_eq!(document("/v1/audio/transcriptions", body).read().tokens.billed_audio, None);
    // Sums too.
    let usage =
        r#"{"input_tokens":900000000000,"cache_read_input_tokens":900000000000,"output_tokens":4}"#;
    assert_eq!(chat(usage).tokens.prompt, None);
}
