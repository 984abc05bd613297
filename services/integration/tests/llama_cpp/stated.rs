//! What an answer of llama.cpp states about itself, read without modash's code, and
//! how two answers to equal requests are compared.

use modash_integration::Reply;
use serde_json::{Value, json};

/// Counts and speeds that an answer states.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Stated {
    /// Prompt tokens, cached ones included.
    pub(crate) prompt: Option<u64>,
    /// Those of them that came from the cache.
    pub(crate) cached: Option<u64>,
    /// Generated tokens.
    pub(crate) completion: Option<u64>,
    /// Tokens per second of the prompt.
    pub(crate) prefill: Option<f64>,
    /// Tokens per second of the answer.
    pub(crate) decode: Option<f64>,
}

impl Stated {
    /// Reads a document, or the events of a stream.
    pub(crate) fn of(reply: &Reply) -> Self {
        let text = String::from_utf8_lossy(&reply.body);
        let mut stated = Self::default();
        for line in text.lines() {
            let json = line.strip_prefix("data: ").unwrap_or(line);
            if let Ok(document) = serde_json::from_str::<Value>(json) {
                stated.take(&document);
            }
        }
        stated
    }

    fn take(&mut self, document: &Value) {
        let set = |field: &mut Option<u64>, value: &Value| *field = value.as_u64().or(*field);
        set(&mut self.prompt, &document["tokens_evaluated"]);
        set(&mut self.completion, &document["tokens_predicted"]);
        let timings = &document["timings"];
        if let (Some(cached), Some(fresh)) =
            (timings["cache_n"].as_u64(), timings["prompt_n"].as_u64())
        {
            (self.cached, self.prompt) = (Some(cached), Some(cached + fresh));
        }
        set(&mut self.completion, &timings["predicted_n"]);
        self.prefill = timings["prompt_per_second"].as_f64().or(self.prefill);
        self.decode = timings["predicted_per_second"].as_f64().or(self.decode);
        for holder in [document, &document["message"], &document["response"]] {
            let usage = &holder["usage"];
            set(&mut self.prompt, &usage["prompt_tokens"]);
            set(&mut self.prompt, &usage["input_tokens"]);
            // Only in the Messages API the input leaves the cached part out.
            if let (Some(cached), Some(fresh)) =
                (usage["cache_read_input_tokens"].as_u64(), usage["input_tokens"].as_u64())
            {
                (self.cached, self.prompt) = (Some(cached), Some(cached + fresh));
            }
            set(&mut self.cached, &usage["prompt_tokens_details"]["cached_tokens"]);
            set(&mut self.cached, &usage["input_tokens_details"]["cached_tokens"]);
            set(&mut self.completion, &usage["completion_tokens"]);
            set(&mut self.completion, &usage["output_tokens"]);
        }
    }
}

/// The APIs that generate text, with a body that asks for at most eight tokens. The
/// temperature is 0, so equal requests get equal text.
pub(crate) fn calls() -> [(&'static str, Value); 5] {
    let messages = json!([{ "role": "user", "content": "one two" }]);
    [
        (
            "/v1/chat/completions",
            json!({ "model": "tiny-random", "messages": messages, "max_tokens": 8 }),
        ),
        (
            "/v1/completions",
            json!({ "model": "tiny-random", "prompt": "one two", "max_tokens": 8 }),
        ),
        ("/completion", json!({ "prompt": "one two", "n_predict": 8 })),
        (
            "/v1/responses",
            json!({ "model": "tiny-random", "input": "one two", "max_output_tokens": 8 }),
        ),
        ("/v1/messages", json!({ "model": "tiny-random", "messages": messages, "max_tokens": 8 })),
    ]
    .map(|(path, mut body)| {
        body["temperature"] = 0.into();
        (path, body)
    })
}

/// The body of an answer without what differs between two answers to one request:
/// random ids and numbers (times, speeds, cached tokens).
pub(crate) fn masked(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(&reply.body);
    let mut masked = String::new();
    for part in text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        let word = part.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let differs = word.len() >= 32 || word.starts_with(|letter: char| letter.is_ascii_digit());
        masked.push_str(if differs { "*" } else { word });
        masked.push_str(&part[word.len()..]);
    }
    masked
}
