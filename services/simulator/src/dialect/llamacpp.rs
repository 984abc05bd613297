//! llama.cpp: its native completion, and the `timings` that it adds everywhere.

use std::time::Duration;

use crate::{
    transcript::Writer,
    turn::{Finish, Turn},
    wire::{EmptyArray, Object, object},
};

/// Time for one token where the answer was not made to wait.
const NOMINAL_TOKEN: Duration = Duration::from_millis(10);

/// A plain answer.
pub(super) fn plain(turn: &Turn) -> Object {
    last(turn, &turn.text())
}

/// A stream without `[DONE]`; the last event has `stop: true`.
pub(super) fn stream(turn: &Turn, writer: &mut Writer) {
    for (index, piece) in turn.reasoning_pieces().chain(turn.visible_pieces()).enumerate() {
        let event = object! {
            "index": 0_u64, "content": piece, "tokens": EmptyArray, "stop": false,
            "id_slot": 0_u64, "tokens_predicted": index as u64 + 1,
            "tokens_evaluated": turn.prompt_tokens,
        };
        writer.data(&event, true);
    }
    writer.data(&last(turn, ""), false);
}

/// The error body for a status.
pub(super) fn error(status: u16, message: &str) -> Object {
    let kind = match status {
        401 => "authentication_error",
        404 => "not_found_error",
        503 => "unavailable_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    object! { "error": object! {
        "code": u64::from(status), "message": message, "type": kind,
    } }
}

/// The `timings` object: consistent with the pace, and with a nominal speed
/// where the answer does not wait.
pub(super) fn timings(turn: &Turn) -> Object {
    let per = |tokens: u64, milliseconds: f64| (milliseconds, milliseconds / tokens.max(1) as f64);
    let prompt = turn.prompt_tokens - turn.cached_tokens;
    let prefill = match turn.pace.prefill {
        Duration::ZERO => NOMINAL_TOKEN / 10 * u32::try_from(prompt).unwrap_or(u32::MAX),
        prefill => prefill,
    };
    let interval = match turn.pace.token_interval {
        Duration::ZERO => NOMINAL_TOKEN,
        interval => interval,
    };
    let (prompt_ms, prompt_each) = per(prompt, prefill.as_secs_f64() * 1e3);
    let decode_ms = interval.as_secs_f64() * 1e3 * turn.output_tokens as f64;
    let (predicted_ms, predicted_each) = per(turn.output_tokens, decode_ms);
    let per_second = |each: f64| if each > 0.0 { 1e3 / each } else { 0.0 };
    object! {
        "cache_n": turn.cached_tokens, "prompt_n": prompt, "prompt_ms": prompt_ms,
        "prompt_per_token_ms": prompt_each, "prompt_per_second": per_second(prompt_each),
        "predicted_n": turn.output_tokens, "predicted_ms": predicted_ms,
        "predicted_per_token_ms": predicted_each, "predicted_per_second": per_second(predicted_each),
    }
}

fn last(turn: &Turn, content: &str) -> Object {
    let stop_type = if turn.finish == Finish::Length { "limit" } else { "eos" };
    object! {
        "index": 0_u64, "content": content, "tokens": EmptyArray, "id_slot": 0_u64,
        "stop": true, "model": &turn.model, "tokens_predicted": turn.output_tokens,
        "tokens_evaluated": turn.prompt_tokens, "has_new_line": false, "truncated": false,
        "stop_type": stop_type, "stopping_word": "",
        "tokens_cached": turn.prompt_tokens + turn.output_tokens, "timings": timings(turn),
    }
}
