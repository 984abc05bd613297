//! OpenAI chat completions, with llama.cpp's `timings` on request. Where
//! servers differ: reasoning is `reasoning_content`, as local servers write it.

use super::llamacpp::timings;
use crate::{
    transcript::Writer,
    turn::{Finish, Turn},
    wire::{EmptyArray, Null, Object, object},
};

/// Random-looking characters of which each chunk carries a different number.
const OBFUSCATION: &str = "k3JxQ9aZb7Lw2";

/// A plain answer.
pub(super) fn plain(turn: &Turn) -> Object {
    let text = turn.text();
    let mut message = object! { "role": "assistant" };
    message = match &turn.tool {
        Some(name) => message.member("content", Null).member(
            "tool_calls",
            [object! {
                "id": call_id(turn), "type": "function",
                "function": object! { "name": name, "arguments": text },
            }],
        ),
        None => message.member("content", text),
    };
    message = message
        .maybe("reasoning_content", turn.reasoning())
        .member("refusal", Null)
        .member("annotations", EmptyArray);
    let choice = object! {
        "index": 0_u64, "message": message, "logprobs": Null, "finish_reason": finish(turn),
    };
    let body = object! {
        "id": turn.id("chatcmpl-"), "object": "chat.completion", "created": turn.created,
        "model": &turn.model, "choices": [choice], "usage": usage(turn),
    };
    end(turn, body).maybe("timings", turn.timings.then(|| timings(turn)))
}

/// A stream: role, tokens, finish, usage if asked for, `[DONE]`.
pub(super) fn stream(turn: &Turn, writer: &mut Writer) {
    let role = object! { "role": "assistant", "content": "", "refusal": Null };
    writer.data(&chunk(turn, 0, role, None), false);
    let mut number = 0;
    for piece in turn.reasoning_pieces() {
        number += 1;
        writer.data(&chunk(turn, number, object! { "reasoning_content": piece }, None), true);
    }
    if let Some(name) = &turn.tool {
        let call = object! {
            "index": 0_u64, "id": call_id(turn), "type": "function",
            "function": object! { "name": name, "arguments": "" },
        };
        writer.data(&chunk(turn, 0, object! { "tool_calls": [call] }, None), false);
    }
    for piece in turn.visible_pieces() {
        number += 1;
        let delta = match turn.tool {
            Some(_) => object! { "tool_calls": [object! {
                "index": 0_u64, "function": object! { "arguments": piece },
            }] },
            None => object! { "content": piece },
        };
        writer.data(&chunk(turn, number, delta, None), true);
    }
    let mut last = chunk(turn, number + 1, Object::default(), Some(finish(turn)));
    if turn.include_usage {
        writer.data(&last, false);
        last = head(turn).member("choices", EmptyArray).member("usage", usage(turn));
    }
    // llama.cpp puts its timings on the last chunk, whichever that is.
    last = last.maybe("timings", turn.timings.then(|| timings(turn)));
    writer.data(&last, false);
    writer.event("data: [DONE]\n\n");
}

fn head(turn: &Turn) -> Object {
    let head = object! {
        "id": turn.id("chatcmpl-"), "object": "chat.completion.chunk", "created": turn.created,
        "model": &turn.model,
    };
    end(turn, head)
}

fn chunk(turn: &Turn, number: u64, delta: Object, finish: Option<&str>) -> Object {
    let choice = object! {
        "index": 0_u64, "delta": delta, "logprobs": Null, "finish_reason": finish,
    };
    let openai = !turn.timings;
    let length = (number * 5 + 3) as usize % OBFUSCATION.len();
    let obfuscation = (openai && turn.obfuscation).then(|| &OBFUSCATION[..length]);
    head(turn)
        .member("choices", [choice])
        .maybe("usage", (openai && turn.include_usage).then_some(Null))
        .maybe("obfuscation", obfuscation)
}

/// What tells OpenAI and llama.cpp apart.
fn end(turn: &Turn, object: Object) -> Object {
    if turn.timings {
        object.member("system_fingerprint", "b6500-simulated")
    } else {
        object.member("service_tier", "default").member("system_fingerprint", "fp_simulated")
    }
}

fn call_id(turn: &Turn) -> String {
    turn.id("call_")
}

fn finish(turn: &Turn) -> &'static str {
    match turn.finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Tool => "tool_calls",
    }
}

/// The usage object; the legacy completions have the same one.
pub(super) fn usage(turn: &Turn) -> Object {
    object! {
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": turn.output_tokens,
        "total_tokens": turn.prompt_tokens + turn.output_tokens,
        "prompt_tokens_details": object! {
            "cached_tokens": turn.cached_tokens, "audio_tokens": 0_u64,
        },
        "completion_tokens_details": object! {
            "reasoning_tokens": turn.reasoning_tokens, "audio_tokens": 0_u64,
            "accepted_prediction_tokens": 0_u64, "rejected_prediction_tokens": 0_u64,
        },
    }
}
