//! Exchanges as vendors and gateways make them, beyond the recorded ones: other
//! places, other names, other forms of chunks.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use modash_metering::{Operation, Reading};
use support::{Exchange, counts, document, stream};

fn sse(path: &'static str, events: &[&str]) -> Reading {
    stream(path, events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>()).read()
}

/// Prompt, cached, completion, total.
fn four(prompt: u64, cached: Option<u64>, completion: u64, total: u64) -> [Option<u64>; 4] {
    [Some(prompt), cached, Some(completion), Some(total)]
}

/// A frame of the AWS event stream with an event in base64.
fn frames(events: &[&str]) -> Vec<u8> {
    use base64::Engine as _;
    let mut body = Vec::new();
    for event in events {
        let bytes = base64::engine::general_purpose::STANDARD.encode(event);
        let payload = format!("{{\"bytes\":\"{bytes}\"}}");
        let mut headers = Vec::new();
        for (name, value) in [(":message-type", "event"), (":event-type", "chunk")] {
            headers.push(u8::try_from(name.len()).unwrap());
            headers.extend_from_slice(name.as_bytes());
            headers.push(7);
            headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            headers.extend_from_slice(value.as_bytes());
        }
        let crc = |bytes: &[u8]| {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            crc.sum().to_be_bytes()
        };
        let length = u32::try_from(16 + headers.len() + payload.len()).unwrap();
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&crc(&frame));
        frame.extend_from_slice(&headers);
        frame.extend_from_slice(payload.as_bytes());
        frame.extend_from_slice(&crc(&frame));
        body.extend(frame);
    }
    body
}

fn bedrock(events: &[&str]) -> Reading {
    let mut exchange = stream("/model/vendor.model/invoke-with-response-stream", frames(events));
    exchange.headers = vec![("content-type", "application/vnd.amazon.eventstream")];
    exchange.read()
}

const METRICS: &str =
    r#""amazon-bedrock-invocationMetrics":{"inputTokenCount":9,"outputTokenCount":4}"#;

#[test]
fn every_family_inside_bedrock_invoke_is_read() {
    let with_metrics = |start: &str| format!("{start},{METRICS}}}");
    for (name, first, last, finish) in [
        (
            "mistral",
            r#"{"outputs":[{"text":"Hi","stop_reason":null}]}"#,
            with_metrics(r#"{"outputs":[{"text":"","stop_reason":"stop"}]"#),
            "stop",
        ),
        (
            "titan",
            r#"{"outputText":"Hi","index":0,"totalOutputTextTokenCount":null,"completionReason":null}"#,
            with_metrics(
                r#"{"outputText":"!","index":0,"totalOutputTextTokenCount":4,"completionReason":"FINISH","inputTextTokenCount":9"#,
            ),
            "FINISH",
        ),
        (
            "llama",
            r#"{"generation":"Hi","prompt_token_count":9,"generation_token_count":1,"stop_reason":null}"#,
            with_metrics(r#"{"generation":"!","generation_token_count":4,"stop_reason":"stop""#),
            "stop",
        ),
        (
            "cohere",
            r#"{"is_finished":false,"event_type":"text-generation","text":"Hi"}"#,
            with_metrics(
                r#"{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE""#,
            ),
            "COMPLETE",
        ),
        (
            "openai",
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
            with_metrics(
                r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}"#,
            ),
            "stop",
        ),
    ] {
        let reading = bedrock(&[first, &last]);
        assert_eq!(counts(&reading), four(9, None, 4, 13), "{name}");
        assert_eq!(reading.finish_reason.as_deref(), Some(finish), "{name}");
        assert_eq!(reading.dialect.id(), "bedrock-invoke", "{name}");
        assert!(reading.first_content_at.is_some(), "{name}");
    }
}

#[test]
fn metrics_count_where_the_usage_of_a_family_is_zeros() {
    let last = format!(
        r#"{{"choices":[{{"index":0,"delta":{{"content":"Hi"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}},{METRICS}}}"#
    );
    assert_eq!(counts(&bedrock(&[&last])), four(9, None, 4, 13));
}

#[test]
fn a_bedrock_document_in_openai_shape_is_read() {
    let body = r#"{"id":"c","model":"openai.gpt-oss","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":6}}}"#;
    let mut exchange = document("/model/openai.gpt-oss/invoke", body);
    exchange.headers.push(("x-amzn-bedrock-input-token-count", "9"));
    exchange.headers.push(("x-amzn-bedrock-output-token-count", "4"));
    let reading = exchange.read();
    assert_eq!(counts(&reading), four(9, Some(6), 4, 13));
    assert_eq!(reading.finish_reason.as_deref(), Some("stop"));
    assert_eq!(reading.response_id.as_deref(), Some("c"));
    let nova = r#"{"output":{"message":{"content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":4,"totalTokens":13,"cacheReadInputTokenCount":6}}"#;
    let reading = document("/model/amazon.nova-pro/invoke", nova).read();
    assert_eq!(counts(&reading), four(9, Some(6), 4, 13));
    assert_eq!(reading.finish_reason.as_deref(), Some("end_turn"));
}

#[test]
fn gateways_and_platforms_with_paths_of_their_own_are_read() {
    for (path, body) in [
        // Cloudflare Workers AI.
        (
            "/client/v4/accounts/a/ai/run/@cf/meta/llama-3-8b",
            r#"{"result":{"response":"hi","usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}},"success":true}"#,
        ),
        // DashScope's own API.
        (
            "/api/v1/services/aigc/text-generation/generation",
            r#"{"output":{"text":"hi","finish_reason":"stop"},"usage":{"input_tokens":9,"output_tokens":4,"total_tokens":13},"request_id":"r"}"#,
        ),
        // watsonx.
        (
            "/ml/v1/text/generation",
            r#"{"model_id":"ibm/g","results":[{"generated_text":"hi","generated_token_count":4,"input_token_count":9,"stop_reason":"eos_token"}]}"#,
        ),
        // Mistral's conversations.
        (
            "/v1/conversations",
            r#"{"conversation_id":"c","outputs":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"connector_tokens":null}}"#,
        ),
        // SAP.
        (
            "/v2/inference/deployments/d/v2/completion",
            r#"{"request_id":"r","final_result":{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}}"#,
        ),
        // Hunyuan.
        (
            "/hunyuan",
            r#"{"Response":{"Id":"i","Usage":{"PromptTokens":9,"CompletionTokens":4,"TotalTokens":13}}}"#,
        ),
        // Models of others on Vertex.
        (
            "/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict",
            r#"{"id":"i","model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#,
        ),
    ] {
        let reading = document(path, body).read();
        assert_eq!(counts(&reading), four(9, None, 4, 13), "{path}");
    }
}

#[test]
fn answers_of_code_assist_are_read_inside_their_envelope() {
    let reading = sse(
        "/v1internal:streamGenerateContent?alt=sse",
        &[
            r#"{"response":{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}],"modelVersion":"gemini-3","responseId":"r"}}"#,
            r#"{"response":{"candidates":[{"index":0,"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"thoughtsTokenCount":1,"totalTokenCount":13}},"traceId":"t"}"#,
        ],
    );
    assert_eq!(reading.dialect.id(), "gemini-generate");
    assert_eq!(counts(&reading), four(9, None, 4, 13));
    assert_eq!(reading.model.as_deref(), Some("gemini-3"));
    assert_eq!((reading.content_events, reading.finish_reason.as_deref()), (1, Some("STOP")));
}

#[test]
fn thoughts_that_gemini_counts_in_the_total_only_belong_to_the_completion() {
    let body = r#"{"candidates":[],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":198,"totalTokenCount":623}}"#;
    let reading = document("/v1beta/models/g:generateContent", body).read();
    assert_eq!(counts(&reading), four(20, None, 603, 623));
}

#[test]
fn gemini_in_snake_case_is_read() {
    let body = r#"{"candidates":[{"finish_reason":"STOP"}],"usage_metadata":{"prompt_token_count":9,"cached_content_token_count":6,"candidates_token_count":3,"thoughts_token_count":1,"total_token_count":13}}"#;
    let reading = document("/gemini/answer", body).read();
    assert_eq!(counts(&reading), four(9, Some(6), 4, 13));
    assert_eq!(reading.tokens.reasoning, Some(1));
    assert_eq!(reading.dialect.id(), "gemini-generate");
}

#[test]
fn choices_of_kimi_in_one_stream_share_the_prompt() {
    let chunk = |index: u64, tokens: u64| {
        format!(
            r#"{{"id":"c","choices":[{{"index":{index},"delta":{{}},"finish_reason":"stop","usage":{{"prompt_tokens":9,"completion_tokens":{tokens},"total_tokens":{},"cached_tokens":6}}}}]}}"#,
            9 + tokens
        )
    };
    let reading = sse("/v1/chat/completions", &[&chunk(0, 4), &chunk(1, 5), "[DONE]"]);
    assert_eq!(counts(&reading), four(9, Some(6), 9, 18));
}

#[test]
fn usage_inside_the_delta_of_a_choice_is_read() {
    let usage = r#""usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}"#;
    for place in [
        format!(r#""delta":{{"content":"",{usage}}}"#),
        format!(r#""message":{{"content":"",{usage}}}"#),
    ] {
        let event = format!(r#"{{"choices":[{{"index":0,{place},"finish_reason":"stop"}}]}}"#);
        assert_eq!(
            counts(&sse("/v1/chat/completions", &[&event])),
            four(9, None, 4, 13),
            "{place}"
        );
    }
}

#[test]
fn runs_of_assistants_count_what_the_last_event_says() {
    let reading = sse(
        "/v1/threads/t/runs",
        &[
            r#"{"id":"run","object":"thread.run","usage":null}"#,
            r#"{"id":"step","object":"thread.run.step","usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#,
            r#"{"id":"run","object":"thread.run","model":"m","usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#,
            "[DONE]",
        ],
    );
    assert_eq!(counts(&reading), four(9, None, 4, 13));
}

#[test]
fn embeddings_and_reranking_of_other_vendors_count_their_input() {
    let voyage = r#"{"object":"list","data":[],"model":"v","usage":{"text_tokens":3,"image_pixels":100,"total_tokens":5}}"#;
    let reading = document("/v1/multimodalembeddings", voyage).read();
    assert_eq!(counts(&reading), [Some(5), None, None, Some(5)]);
    let cohere = r#"{"id":"i","embeddings":{"float":[]},"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":5}}}"#;
    let reading = document("/v2/embed", cohere).read();
    assert_eq!(reading.tokens.billed_prompt, Some(5));
    assert_eq!(reading.operation, Operation::Embedding);
}

#[test]
fn audio_of_any_server_has_its_length() {
    for (body, seconds) in [
        (r#"{"task":"transcribe","duration":11.4,"text":"hi"}"#, 11.4),
        (r#"{"task":"transcribe","duration":"11.4","text":"hi"}"#, 11.4),
        (r#"{"text":"hi","duration":99,"usage":{"type":"duration","seconds":12}}"#, 12.0),
    ] {
        let reading = document("/v1/audio/transcriptions", body).read();
        assert_eq!(reading.tokens.billed_audio.unwrap().as_secs_f64(), seconds, "{body}");
    }
    let tokens = r#"{"text":"hi","duration":99,"usage":{"type":"tokens","input_tokens":14,"output_tokens":4,"total_tokens":18,"input_token_details":{"audio_tokens":14}}}"#;
    let reading = document("/v1/audio/transcriptions", tokens).read();
    assert_eq!((counts(&reading), reading.tokens.billed_audio), (four(14, None, 4, 18), None));
}

#[test]
fn transcriptions_inside_a_realtime_session_are_counted_beside_its_responses() {
    let lines = [
        r#"{"type":"session.created","session":{"model":"gpt-realtime","audio":{"input":{"transcription":{"model":"whisper-1"}}}}}"#,
        r#"{"type":"response.created","response":{"id":"r1"}}"#,
        r#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"duration","seconds":3.5}}"#,
        r#"{"type":"response.done","response":{"id":"r1","status":"completed","usage":{"input_tokens":100,"output_tokens":20,"total_tokens":120}}}"#,
        r#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"tokens","input_tokens":30,"output_tokens":5,"total_tokens":35,"input_token_details":{"audio_tokens":30}}}"#,
    ];
    let mut exchange = stream("/v1/realtime?model=gpt-realtime", lines.join("\n"));
    exchange.status = 101;
    let reading = Exchange { headers: Vec::new(), ..exchange }.read();
    assert_eq!(counts(&reading), four(130, None, 25, 155));
    assert_eq!(reading.tokens.billed_audio.unwrap().as_secs_f64(), 3.5);
    assert_eq!(reading.model.as_deref(), Some("gpt-realtime"));
    assert_eq!(reading.realtime.len(), 1);
}

#[test]
fn rates_that_cannot_be_are_left_out() {
    let body = r#"{"model":"m","done":true,"prompt_eval_count":9,"prompt_eval_duration":1e-300,"eval_count":4,"eval_duration":2000000000}"#;
    let reading = stream("/api/chat", body).read();
    assert_eq!(reading.prefill_tokens_per_second, None);
    assert_eq!(reading.decode_tokens_per_second, Some(2.0));
}
