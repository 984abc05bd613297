//! Every dialect's plain answer and stream parse, hold as many tokens as they
//! announce, and announce what the request lets expect.

use crate::common::Server;
use serde_json::{Value, json};

const TOKENS: &[(&str, &str)] =
    &[("x-simulate-output-tokens", "30"), ("x-simulate-cached-tokens", "2")];

fn chat(more: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": [
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": "How are you?"},
    ]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Words of a text: the simulator's tokens.
fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or_else(|| panic!("no {path} in {value}"))
}

fn joined<'a>(events: impl IntoIterator<Item = &'a Value>, path: &str) -> (String, u64) {
    let texts: Vec<&str> =
        events.into_iter().filter_map(|event| event.pointer(path)?.as_str()).collect();
    let count = texts.iter().filter(|text| !text.is_empty()).count() as u64;
    (texts.concat(), count)
}

#[tokio::test]
async fn openai_chat_announces_the_words_of_prompt_and_answer() {
    let server = Server::start().await;
    let answer = server.post("/v1/chat/completions", TOKENS, &chat(&json!({}))).await.json();
    assert_eq!(at(&answer, "/usage/prompt_tokens"), 5);
    assert_eq!(at(&answer, "/usage/prompt_tokens_details/cached_tokens"), 2);
    assert_eq!(at(&answer, "/usage/completion_tokens"), 30);
    assert_eq!(at(&answer, "/usage/total_tokens"), 35);
    assert_eq!(words(at(&answer, "/choices/0/message/content").as_str().unwrap()), 30);
    assert_eq!(at(&answer, "/choices/0/finish_reason"), "stop");
}

#[tokio::test]
async fn an_openai_chat_stream_has_usage_only_if_asked() {
    let server = Server::start().await;
    let asked = chat(&json!({"stream": true, "stream_options": {"include_usage": true}}));
    let answer = server.post("/v1/chat/completions", TOKENS, &asked).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream; charset=utf-8");
    let (events, done) = answer.events();
    assert!(done);
    let chunks: Vec<&Value> = events.iter().map(|event| &event.1).collect();
    let (text, pieces) = joined(chunks.iter().copied(), "/choices/0/delta/content");
    assert_eq!((words(&text), pieces), (30, 30));
    assert_eq!(at(chunks[0], "/choices/0/delta/role"), "assistant");
    let (last, before) = chunks.split_last().unwrap();
    assert_eq!(at(last, "/choices"), &json!([]));
    assert_eq!(at(last, "/usage/prompt_tokens"), 5);
    assert_eq!(at(last, "/usage/completion_tokens"), 30);
    assert!(before.iter().all(|chunk| at(chunk, "/usage").is_null()));
    assert_eq!(at(before.last().unwrap(), "/choices/0/finish_reason"), "stop");
    assert!(before.iter().all(|chunk| chunk.get("obfuscation").is_some()));

    let answer = server.post("/v1/chat/completions", TOKENS, &chat(&json!({"stream": true}))).await;
    let (events, done) = answer.events();
    assert!(done && events.iter().all(|event| event.1.get("usage").is_none()));
}

#[tokio::test]
async fn openai_chat_calls_a_tool_with_arguments_that_are_json() {
    let server = Server::start().await;
    let tools = json!({
        "tools": [{"type": "function", "function": {"name": "search"}}],
        "tool_choice": "required", "stream": true,
    });
    let (events, _) = server.post("/v1/chat/completions", TOKENS, &chat(&tools)).await.events();
    let chunks = || events.iter().map(|event| &event.1);
    let (arguments, _) = joined(chunks(), "/choices/0/delta/tool_calls/0/function/arguments");
    let arguments: Value = serde_json::from_str(&arguments).unwrap();
    assert_eq!(words(arguments["query"].as_str().unwrap()), 30);
    let (name, _) = joined(chunks(), "/choices/0/delta/tool_calls/0/function/name");
    assert_eq!(name, "search");
    let (finish, _) = joined(chunks(), "/choices/0/finish_reason");
    assert_eq!(finish, "tool_calls");
}

#[tokio::test]
async fn llama_cpp_timings_come_on_the_last_chunk_whether_usage_was_asked_or_not() {
    let server = Server::start().await;
    let headers = [TOKENS, &[("x-simulate-timings", "true")]].concat();
    for options in [
        json!({"stream": true}),
        json!({"stream": true, "stream_options": {"include_usage": true}}),
    ] {
        let answer = server.post("/v1/chat/completions", &headers, &chat(&options)).await;
        let (events, _) = answer.events();
        let last = &events.last().unwrap().1;
        assert_eq!(at(last, "/timings/predicted_n"), 30);
        assert_eq!(at(last, "/timings/prompt_n"), 3);
        assert_eq!(at(last, "/timings/cache_n"), 2);
        assert!(events[..events.len() - 1].iter().all(|event| event.1.get("timings").is_none()));
    }
}

#[tokio::test]
async fn legacy_completions_are_cut_at_max_tokens() {
    let server = Server::start().await;
    let body = json!({"model": "m", "prompt": ["one two", "three"], "max_tokens": 7});
    let answer = server.post("/v1/completions", &[], &body).await.json();
    assert_eq!(at(&answer, "/usage/prompt_tokens"), 3);
    assert_eq!(at(&answer, "/usage/completion_tokens"), 7);
    assert_eq!(at(&answer, "/choices/0/finish_reason"), "length");
    let body = json!({
        "model": "m", "prompt": "one two", "stream": true,
        "stream_options": {"include_usage": true},
    });
    let (events, done) = server.post("/v1/completions", TOKENS, &body).await.events();
    let (text, _) = joined(events.iter().map(|event| &event.1), "/choices/0/text");
    assert!(done);
    assert_eq!(words(&text), 30);
    assert_eq!(at(&events.last().unwrap().1, "/usage/total_tokens"), 32);
}

#[tokio::test]
async fn responses_tell_their_usage_in_the_last_event_and_have_no_done() {
    let server = Server::start().await;
    let body = json!({
        "model": "m", "input": "How are you?", "stream": true, "reasoning": {"effort": "low"},
    });
    let (events, done) = server.post("/v1/responses", TOKENS, &body).await.events();
    assert!(!done);
    for (number, (name, event)) in events.iter().enumerate() {
        assert_eq!(name.as_deref(), event["type"].as_str());
        assert_eq!(event["sequence_number"], number);
    }
    let deltas = |kind: &str| {
        let of_kind = events.iter().filter(|event| event.0.as_deref() == Some(kind));
        joined(of_kind.map(|event| &event.1), "/delta")
    };
    assert_eq!(words(&deltas("response.reasoning_summary_text.delta").0), 7);
    assert_eq!(words(&deltas("response.output_text.delta").0), 23);
    let (name, last) = events.last().unwrap();
    assert_eq!(name.as_deref(), Some("response.completed"));
    assert_eq!(at(last, "/response/usage/input_tokens"), 3);
    assert_eq!(at(last, "/response/usage/output_tokens"), 30);
    assert_eq!(at(last, "/response/usage/output_tokens_details/reasoning_tokens"), 7);
    assert!(at(&events[0].1, "/response/usage").is_null());
    let plain = json!({"model": "m", "input": "How are you?", "max_output_tokens": 4});
    let answer = server.post("/v1/responses", &[], &plain).await.json();
    assert_eq!(at(&answer, "/status"), "incomplete");
    assert_eq!(at(&answer, "/usage/total_tokens"), 7);
}

#[tokio::test]
async fn anthropic_counts_input_without_cache_and_output_with_thinking() {
    let server = Server::start().await;
    let headers = [TOKENS, &[("x-simulate-cache-write-tokens", "1")]].concat();
    let body = json!({
        "model": "c", "max_tokens": 1000, "stream": true, "system": "Be kind.",
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "How are you?"}]}],
    });
    let (events, done) = server.post("/v1/messages", &headers, &body).await.events();
    assert!(!done);
    assert!(events.iter().all(|(name, event)| name.as_deref() == event["type"].as_str()));
    let values = || events.iter().map(|event| &event.1);
    assert_eq!(words(&joined(values(), "/delta/thinking").0), 7);
    assert_eq!(words(&joined(values(), "/delta/text").0), 23);
    let names: Vec<&str> = events.iter().filter_map(|event| event.0.as_deref()).collect();
    assert_eq!(names.first(), Some(&"message_start"));
    assert_eq!(names.last(), Some(&"message_stop"));
    assert!(names.contains(&"ping"));
    assert_eq!(at(&events[0].1, "/message/usage/output_tokens"), 1);
    let end = &events[events.len() - 2].1;
    assert_eq!(at(end, "/usage/input_tokens"), 2);
    assert_eq!(at(end, "/usage/cache_read_input_tokens"), 2);
    assert_eq!(at(end, "/usage/cache_creation_input_tokens"), 1);
    assert_eq!(at(end, "/usage/output_tokens"), 30);
    assert_eq!(at(end, "/delta/stop_reason"), "end_turn");
}

#[tokio::test]
async fn anthropic_plain_answers_tools_and_counts() {
    let server = Server::start().await;
    let body = json!({
        "model": "c", "max_tokens": 9,
        "messages": [{"role": "user", "content": "How are you?"}],
        "tools": [{"name": "search", "input_schema": {}}], "tool_choice": {"type": "any"},
    });
    let answer = server.post("/v1/messages", &[("x-simulate-output-tokens", "8")], &body).await;
    let answer = answer.json();
    assert_eq!(at(&answer, "/content/0/type"), "tool_use");
    assert_eq!(words(at(&answer, "/content/0/input/query").as_str().unwrap()), 8);
    assert_eq!(at(&answer, "/stop_reason"), "tool_use");
    assert_eq!(at(&answer, "/usage/input_tokens"), 3);
    let counted = server.post("/v1/messages/count_tokens", &[], &body).await.json();
    assert_eq!(counted, json!({"input_tokens": 3}));
}

#[tokio::test]
async fn ollama_streams_lines_by_default_and_leaves_zeros_out() {
    let server = Server::start().await;
    let answer = server.post("/api/chat", TOKENS, &chat(&json!({"think": true}))).await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let lines = answer.lines();
    assert_eq!(words(&joined(&lines, "/message/thinking").0), 7);
    assert_eq!(words(&joined(&lines, "/message/content").0), 23);
    let (last, before) = lines.split_last().unwrap();
    assert!(before.iter().all(|line| line["done"] == json!(false)));
    assert_eq!(last["done"], json!(true));
    assert_eq!((&last["prompt_eval_count"], &last["eval_count"]), (&json!(5), &json!(30)));
    let body = json!({"model": "m", "prompt": "", "stream": false});
    let plain = server.post("/api/generate", TOKENS, &body).await.json();
    assert_eq!(words(plain["response"].as_str().unwrap()), 30);
    assert!(plain.get("prompt_eval_count").is_none());
}

#[tokio::test]
async fn llama_cpp_native_ends_with_stop_and_without_done() {
    let server = Server::start().await;
    let body = json!({"prompt": "How are you?", "stream": true});
    let (events, done) = server.post("/completion", TOKENS, &body).await.events();
    assert!(!done);
    let (text, _) = joined(events.iter().map(|event| &event.1), "/content");
    assert_eq!(words(&text), 30);
    let last = &events.last().unwrap().1;
    assert_eq!(last["stop"], json!(true));
    assert_eq!((&last["tokens_evaluated"], &last["tokens_predicted"]), (&json!(3), &json!(30)));
    assert_eq!(at(last, "/timings/cache_n"), 2);
}

#[tokio::test]
async fn gemini_counts_thoughts_apart_in_both_framings_of_a_stream() {
    let server = Server::start().await;
    let body = json!({
        "contents": [{"role": "user", "parts": [{"text": "How are you?"}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": true}},
    });
    let path = "/v1beta/models/gemini-2.5-flash";
    let events = server.post(&format!("{path}:streamGenerateContent?alt=sse"), TOKENS, &body).await;
    let (events, done) = events.events();
    assert!(!done);
    let events: Vec<Value> = events.into_iter().map(|event| event.1).collect();
    let array = server.post(&format!("{path}:streamGenerateContent"), TOKENS, &body).await.json();
    for chunks in [&events, array.as_array().unwrap()] {
        let (text, _) = joined(chunks, "/candidates/0/content/parts/0/text");
        assert!(text.len() > 30);
        let last = chunks.last().unwrap();
        assert_eq!(at(last, "/usageMetadata/promptTokenCount"), 3);
        assert_eq!(at(last, "/usageMetadata/candidatesTokenCount"), 23);
        assert_eq!(at(last, "/usageMetadata/thoughtsTokenCount"), 7);
        assert_eq!(at(last, "/usageMetadata/totalTokenCount"), 33);
        assert_eq!(at(last, "/candidates/0/finishReason"), "STOP");
        assert_eq!(at(last, "/modelVersion"), "gemini-2.5-flash");
    }
    let plain = server.post(&format!("{path}:generateContent"), TOKENS, &body).await.json();
    assert_eq!(at(&plain, "/usageMetadata/cachedContentTokenCount"), 2);
}

#[tokio::test]
async fn embeddings_have_a_vector_for_each_input_and_no_completion() {
    let server = Server::start().await;
    let body = json!({"model": "e", "input": ["one two", "three"], "dimensions": 4});
    let answer = server.post("/v1/embeddings", &[], &body).await.json();
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    assert_eq!(at(&answer, "/data/0/embedding").as_array().unwrap().len(), 4);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
    let body = json!({"model": "e", "input": [1, 2, 3], "encoding_format": "base64"});
    let answer = server.post("/v1/embeddings", &[], &body).await.json();
    assert!(at(&answer, "/data/0/embedding").is_string());
    assert_eq!(at(&answer, "/usage/total_tokens"), 3);
    let answer =
        server.post("/api/embed", &[], &json!({"model": "e", "input": "one"})).await.json();
    assert_eq!(answer["prompt_eval_count"], json!(1));
    let totals = server.stats.snapshot().models["e"];
    assert_eq!((totals.prompt_tokens, totals.completion_tokens), (7, 0));
}

#[tokio::test]
async fn lists_of_models_have_the_shape_of_who_asks() {
    let server = Server::start().await;
    let openai = server.get("/v1/models", &[]).await.json();
    assert_eq!(at(&openai, "/data/0/object"), "model");
    let anthropic = server.get("/v1/models", &[("anthropic-version", "2023-06-01")]).await.json();
    assert_eq!(at(&anthropic, "/data/0/type"), "model");
    assert!(at(&server.get("/api/tags", &[]).await.json(), "/models/0/name").is_string());
    assert!(at(&server.get("/v1beta/models", &[]).await.json(), "/models/0/name").is_string());
    assert_eq!(server.get("/v1/models/qwen3-8b", &[]).await.status, 200);
    assert_eq!(server.get("/v1/models/none", &[]).await.status, 404);
}

#[tokio::test]
async fn counters_hold_what_the_answers_announced() {
    let server = Server::start().await;
    server.post("/v1/chat/completions", TOKENS, &chat(&json!({}))).await;
    server.post("/v1/chat/completions", TOKENS, &chat(&json!({"stream": true}))).await;
    server.post("/v1/chat/completions", &[("x-simulate-status", "429")], &chat(&json!({}))).await;
    let stats: Value = server.get("/simulator/stats", &[]).await.json();
    assert_eq!((&stats["started"], &stats["completed"]), (&json!(3), &json!(3)));
    assert_eq!(
        stats["models"]["m"],
        json!({
            "responses": 2, "responses_without_usage": 1, "prompt_tokens": 5,
            "cached_prompt_tokens": 2, "completion_tokens": 30, "reasoning_tokens": 0,
        })
    );
    assert_eq!(stats["dialects"], json!({"openai-chat": 2}));
}
