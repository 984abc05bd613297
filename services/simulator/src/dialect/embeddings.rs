//! Embeddings of OpenAI and Ollama: one small vector for each input.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    turn::Turn,
    wire::{Object, object},
};

/// Length of a vector if the request does not say.
const DIMENSIONS: u64 = 16;
/// Longest vector that is made.
const MAX_DIMENSIONS: u64 = 16_384;

/// OpenAI's answer; vectors are base64 if the request wants that.
pub(super) fn openai(turn: &Turn) -> Object {
    let base64 = turn.body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let items: Vec<Object> = (0..inputs(&turn.body))
        .map(|index| {
            let vector = vector(turn, index);
            let item = object! { "object": "embedding", "index": index };
            if base64 {
                let bytes: Vec<u8> =
                    vector.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
                item.member("embedding", STANDARD.encode(bytes))
            } else {
                item.member("embedding", vector)
            }
        })
        .collect();
    object! {
        "object": "list", "data": items, "model": &turn.model,
        "usage": object! {
            "prompt_tokens": turn.prompt_tokens, "total_tokens": turn.prompt_tokens,
        },
    }
}

/// Ollama's answer.
pub(super) fn ollama(turn: &Turn) -> Object {
    let vectors: Vec<Vec<f64>> = (0..inputs(&turn.body)).map(|index| vector(turn, index)).collect();
    object! { "model": &turn.model, "embeddings": vectors }
        .maybe("prompt_eval_count", (turn.prompt_tokens > 0).then_some(turn.prompt_tokens))
}

/// Number of inputs: texts or lists of token ids; a single list of ids is one.
fn inputs(body: &Value) -> u64 {
    match body.get("input") {
        Some(Value::Array(items)) if !items.first().is_some_and(Value::is_number) => {
            items.len() as u64
        }
        _ => 1,
    }
}

fn vector(turn: &Turn, input: u64) -> Vec<f64> {
    let wished = turn.body.get("dimensions").and_then(Value::as_u64);
    let length = wished.unwrap_or(DIMENSIONS).min(MAX_DIMENSIONS);
    (0..length).map(|index| ((input * 7 + index * 13) % 101) as f64 / 101.0 - 0.5).collect()
}
