//! Parts of prompts and completions by kind (audio, images), the images that an answer
//! holds, and the characters of a text that is spoken. What is not stated is unknown.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use modash_metering::{BodyEnd, Tokens};
use support::{Exchange, document, stream};

const IMAGES: &str = "/v1/images/generations";
const GEMINI: &str = "/v1beta/models/gemini-2.5-flash-image:generateContent";
const SPEECH: &str = "/v1/audio/speech";

/// Image part of the prompt, of what was cached, of the completion; audio part of what was
/// cached.
fn parts(tokens: &Tokens) -> [Option<u64>; 4] {
    [
        tokens.image_prompt,
        tokens.cached_image_prompt,
        tokens.image_completion,
        tokens.cached_audio_prompt,
    ]
}

#[test]
fn image_tokens_are_read_where_they_are_stated_and_else_unknown() {
    let openai = |usage: &str| document(IMAGES, format!(r#"{{"data":[],"usage":{usage}}}"#));
    let gemini =
        |usage: &str| document(GEMINI, format!(r#"{{"candidates":[],"usageMetadata":{usage}}}"#));
    for (name, exchange, expected) in [
        (
            "gpt-image",
            openai(
                r#"{"input_tokens":50,"output_tokens":272,"input_tokens_details":{"image_tokens":40,"text_tokens":10},"output_tokens_details":{"image_tokens":272,"text_tokens":0}}"#,
            ),
            [Some(40), None, Some(272), None],
        ),
        (
            "an answer without details of its output",
            openai(
                r#"{"input_tokens":50,"output_tokens":272,"input_tokens_details":{"image_tokens":0,"text_tokens":50}}"#,
            ),
            [Some(0), None, None, None],
        ),
        (
            "text that is all",
            openai(
                r#"{"input_tokens":50,"output_tokens":9,"input_tokens_details":{"text_tokens":50},"output_tokens_details":{"text_tokens":9}}"#,
            ),
            [Some(0), None, Some(0), None],
        ),
        (
            "text that is not all",
            openai(
                r#"{"input_tokens":50,"output_tokens":9,"input_tokens_details":{"text_tokens":49},"output_tokens_details":{"text_tokens":8}}"#,
            ),
            [None; 4],
        ),
        ("no details", openai(r#"{"input_tokens":50,"output_tokens":272}"#), [None; 4]),
        (
            "what is no count",
            openai(
                r#"{"input_tokens":50,"output_tokens":9,"input_tokens_details":{"image_tokens":-1,"text_tokens":null}}"#,
            ),
            [None; 4],
        ),
        (
            "Gemini drew",
            gemini(
                r#"{"promptTokenCount":278,"candidatesTokenCount":1290,"totalTokenCount":1568,"promptTokensDetails":[{"modality":"TEXT","tokenCount":20},{"modality":"IMAGE","tokenCount":258}],"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290}]}"#,
            ),
            [Some(258), None, Some(1290), None],
        ),
        (
            "Gemini wrote",
            gemini(
                r#"{"promptTokenCount":20,"candidatesTokenCount":7,"thoughtsTokenCount":30,"totalTokenCount":57,"promptTokensDetails":[{"modality":"TEXT","tokenCount":20}],"candidatesTokensDetails":[{"modality":"TEXT","tokenCount":7}]}"#,
            ),
            [Some(0), None, Some(0), None],
        ),
        (
            "kinds that do not make up the whole",
            gemini(
                r#"{"promptTokenCount":20,"candidatesTokenCount":7,"totalTokenCount":27,"promptTokensDetails":[{"modality":"TEXT","tokenCount":19}],"candidatesTokensDetails":[{"modality":"TEXT"}]}"#,
            ),
            [None; 4],
        ),
        (
            "a film is no image",
            gemini(
                r#"{"promptTokenCount":520,"candidatesTokenCount":7,"totalTokenCount":527,"promptTokensDetails":[{"modality":"VIDEO","tokenCount":500},{"modality":"TEXT","tokenCount":20}]}"#,
            ),
            [Some(0), None, None, None],
        ),
        (
            "tools read, whatever it was",
            gemini(
                r#"{"promptTokenCount":20,"toolUsePromptTokenCount":100,"candidatesTokenCount":7,"totalTokenCount":127,"promptTokensDetails":[{"modality":"TEXT","tokenCount":20}]}"#,
            ),
            [None; 4],
        ),
        (
            "of a cache",
            gemini(
                r#"{"promptTokenCount":600,"cachedContentTokenCount":500,"candidatesTokenCount":7,"totalTokenCount":607,"promptTokensDetails":[{"modality":"TEXT","tokenCount":100},{"modality":"IMAGE","tokenCount":258},{"modality":"AUDIO","tokenCount":242}],"cacheTokensDetails":[{"modality":"IMAGE","tokenCount":258},{"modality":"AUDIO","tokenCount":242}]}"#,
            ),
            [Some(258), Some(258), None, Some(242)],
        ),
        (
            "a cache of text",
            gemini(
                r#"{"promptTokenCount":600,"cachedContentTokenCount":500,"candidatesTokenCount":7,"totalTokenCount":607,"cacheTokensDetails":[{"modality":"TEXT","tokenCount":500}]}"#,
            ),
            [None, Some(0), None, Some(0)],
        ),
    ] {
        assert_eq!(parts(&exchange.read().tokens), expected, "{name}");
    }
}

#[test]
fn a_part_does_not_outlive_the_whole_that_it_was_a_part_of() {
    let chunk = |usage: &str| format!("data: {{\"usageMetadata\":{usage}}}\n\n");
    let path = "/v1beta/models/gemini-2.5-flash-image:streamGenerateContent?alt=sse";
    let early = chunk(
        r#"{"promptTokenCount":20,"candidatesTokenCount":5,"totalTokenCount":25,"candidatesTokensDetails":[{"modality":"TEXT","tokenCount":5}]}"#,
    );
    let late =
        chunk(r#"{"promptTokenCount":20,"candidatesTokenCount":1300,"totalTokenCount":1320}"#);
    assert_eq!(stream(path, early.clone()).read().tokens.image_completion, Some(0));
    assert_eq!(stream(path, format!("{early}{late}")).read().tokens.image_completion, None);
    assert_eq!(stream(path, format!("{early}{early}")).read().tokens.image_completion, Some(0));
}

#[test]
fn a_session_knows_a_part_if_all_of_its_responses_do() {
    let done = |id: &str, usage: &str| {
        format!(
            r#"{{"type":"response.done","response":{{"id":"{id}","status":"completed","usage":{usage}}}}}"#
        )
    };
    let told = r#"{"input_tokens":132,"output_tokens":121,"total_tokens":253,"input_token_details":{"text_tokens":109,"audio_tokens":13,"image_tokens":10,"cached_tokens":64,"cached_tokens_details":{"text_tokens":52,"audio_tokens":8,"image_tokens":4}},"output_token_details":{"text_tokens":30,"audio_tokens":91}}"#;
    let silent = r#"{"input_tokens":5,"output_tokens":2,"total_tokens":7,"input_token_details":{"audio_tokens":2}}"#;
    let nothing = r#"{"input_tokens":0,"output_tokens":0,"total_tokens":0}"#;
    let session = |usages: &[&str]| {
        let events: Vec<String> =
            (0..).zip(usages).map(|(at, usage)| done(&format!("r{at}"), usage)).collect();
        let exchange = stream("/v1/realtime?model=gpt-realtime", events.join("\n"));
        Exchange { status: 101, headers: Vec::new(), ..exchange }.read().tokens
    };
    assert_eq!(parts(&session(&[told])), [Some(10), Some(4), Some(0), Some(8)]);
    assert_eq!(parts(&session(&[told, told])), [Some(20), Some(8), Some(0), Some(16)]);
    assert_eq!(parts(&session(&[told, nothing])), [Some(10), Some(4), Some(0), Some(8)]);
    assert_eq!(parts(&session(&[nothing, told])), [Some(10), Some(4), Some(0), Some(8)]);
    // Nothing came from a cache there.
    assert_eq!(parts(&session(&[told, silent])), [None, Some(4), None, Some(8)]);
    assert_eq!(parts(&session(&[silent, told])), [None, Some(4), None, Some(8)]);
}

#[test]
fn images_of_a_whole_answer_are_counted() {
    let count = |exchange: Exchange| exchange.read().tokens.images;
    for (body, images) in [
        (r#"{"data":[{"url":"https://x/1"},{"url":"https://x/2"}]}"#, Some(2)),
        (r#"{"data":[{"b64_json":"aGVsbG8=","revised_prompt":"a cat"}]}"#, Some(1)),
        // Held back by a filter.
        (r#"{"data":[{"b64_json":"aGVsbG8="},{"url":null,"b64_json":""}]}"#, Some(1)),
        (r#"{"data":[]}"#, None),
        (r#"{"created":1}"#, None),
        (r#"{"error":{"type":"moderation"},"data":[{"url":"https://x/1"}]}"#, None),
    ] {
        assert_eq!(count(document(IMAGES, body)), images, "{body}");
    }
    let cut = r#"{"data":[{"url":"https://x/1"},{"url":"htt"#;
    assert_eq!(count(Exchange { end: BodyEnd::Broken, ..document(IMAGES, cut) }), None);
    let partial =
        "data: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"aGVsbG8=\"}\n\n";
    let done = "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"aGVsbG8=\"}\n\n";
    assert_eq!(count(stream(IMAGES, format!("{partial}{done}"))), Some(1));
    assert_eq!(count(Exchange { end: BodyEnd::Broken, ..stream(IMAGES, partial) }), None);
    // A list of models is none of images.
    let models = r#"{"object":"list","data":[{"id":"m","url":"https://x"}]}"#;
    assert_eq!(count(document("/v1/models", models)), None);
}

/// Speech of a text as JSON, by a body of audio.
fn speech(input: &str) -> Exchange {
    Exchange {
        request: format!(r#"{{"model":"tts-1","input":{input},"voice":"alloy"}}"#).into_bytes(),
        headers: vec![("content-type", "audio/mpeg")],
        ..stream(SPEECH, [0xff, 0xf3, 0, 1])
    }
}

#[test]
fn spoken_text_is_counted_in_characters_however_it_is_written_and_cut() {
    for (input, characters) in [
        (r#""hi""#, Some(2)),
        (r#""""#, Some(0)),
        // Two, three and four bytes, as they are and escaped.
        (r#""é€😀""#, Some(3)),
        (r#""\u00e9\u20ac\ud83d\ude00""#, Some(3)),
        (r#""a\nb\"c\\""#, Some(6)),
        // Half a pair is a character that cannot be shown.
        (r#""\ud83dx""#, Some(2)),
        (r#""once","input":"again""#, Some(5)),
        (r#"["hi"]"#, None),
        ("7", None),
        ("null", None),
    ] {
        let exchange = speech(input);
        let reading = exchange.read();
        assert_eq!(reading.tokens.characters, characters, "{input}");
        // Nothing of that is a usage which the upstream reported.
        assert_eq!(reading.source, modash_metering::UsageSource::NotReported, "{input}");
        for size in 1..8 {
            let mut meter = Exchange { request: Vec::new(), ..speech(input) }.unread();
            exchange.request.chunks(size).for_each(|piece| meter.request_data(piece));
            let tokens = exchange.answer(meter).tokens;
            assert_eq!(tokens.characters, characters, "{input} by {size}");
        }
    }
    let long = "ж".repeat(100_000);
    assert_eq!(speech(&format!("\"{long}\"")).read().tokens.characters, Some(100_000));
}

#[test]
fn what_was_not_spoken_to_its_end_is_not_counted() {
    let none = |exchange: Exchange, name: &str| {
        assert_eq!(exchange.read().tokens.characters, None, "{name}");
    };
    none(Exchange { status: 400, ..speech("\"hi\"") }, "refused");
    none(Exchange { body: Vec::new(), ..speech("\"hi\"") }, "no audio");
    none(Exchange { end: BodyEnd::Broken, ..speech("\"hi\"") }, "broken off");
    let mut cut = speech("\"hi\"");
    cut.request.truncate(cut.request.len() - 2);
    none(cut, "a request that is no JSON");
    // Of other APIs the text is the input in tokens.
    none(Exchange { path: "/v1/embeddings", ..speech("\"hi\"") }, "embeddings");
}
