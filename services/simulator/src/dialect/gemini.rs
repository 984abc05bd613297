//! Gemini: thoughts outside the candidates' count, cumulative usage in every
//! chunk, and a stream that is server-sent events or one JSON array.

use crate::{
    transcript::Writer,
    turn::{Finish, Turn},
    wire::{Object, object},
};

/// A plain answer.
pub(super) fn plain(turn: &Turn) -> Object {
    let mut parts = Vec::new();
    if let Some(thought) = turn.reasoning() {
        parts.push(object! { "text": thought, "thought": true });
    }
    parts.push(match &turn.tool {
        Some(name) => call(name),
        None => object! { "text": turn.text() },
    });
    chunk(turn, parts, true, turn.visible_tokens(), turn.reasoning_tokens)
}

/// A stream; without `alt=sse` the same chunks are elements of an array.
pub(super) fn stream(turn: &Turn, writer: &mut Writer) {
    let mut thoughts = 0;
    let mut visible = 0;
    let mut first = true;
    let mut push = |chunk: &Object, token: bool| {
        let text = match (turn.sse, first) {
            (true, _) => format!("data: {}\r\n\r\n", chunk.text()),
            (false, true) => format!("[{}\n", chunk.text()),
            (false, false) => format!(",\r\n{}\n", chunk.text()),
        };
        first = false;
        if token {
            writer.token(&text);
        } else {
            writer.event(&text);
        }
    };
    for piece in turn.reasoning_pieces() {
        thoughts += 1;
        let part = object! { "text": piece, "thought": true };
        push(&chunk(turn, vec![part], false, 0, thoughts), true);
    }
    match &turn.tool {
        Some(name) => {
            visible = turn.visible_tokens();
            push(&chunk(turn, vec![call(name)], false, visible, thoughts), true);
        }
        None => {
            for piece in turn.visible_pieces() {
                visible += 1;
                let part = object! { "text": piece };
                push(&chunk(turn, vec![part], false, visible, thoughts), true);
            }
        }
    }
    let end = object! { "text": "" };
    push(&chunk(turn, vec![end], true, visible, thoughts), false);
    if !turn.sse {
        writer.event("]");
    }
}

/// The error body for a status.
pub(super) fn error(status: u16, message: &str) -> Object {
    let name = match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        400..=499 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    };
    object! { "error": object! {
        "code": u64::from(status), "message": message, "status": name,
    } }
}

fn call(name: &str) -> Object {
    let arguments = object! { "query": "tokens" };
    object! { "functionCall": object! { "name": name, "args": arguments } }
}

fn chunk(turn: &Turn, parts: Vec<Object>, last: bool, visible: u64, thoughts: u64) -> Object {
    // A count of zero is left out.
    let some = |count: u64| (count > 0).then_some(count);
    let finish = match turn.finish {
        Finish::Length => "MAX_TOKENS",
        Finish::Stop | Finish::Tool => "STOP",
    };
    let content = object! { "role": "model", "parts": parts };
    let candidate = object! { "content": content }
        .maybe("finishReason", last.then_some(finish))
        .member("index", 0_u64);
    let usage = Object::default()
        .maybe("promptTokenCount", some(turn.prompt_tokens))
        .maybe("cachedContentTokenCount", some(turn.cached_tokens))
        .maybe("candidatesTokenCount", some(visible))
        .maybe("thoughtsTokenCount", some(thoughts))
        .maybe("totalTokenCount", some(turn.prompt_tokens + visible + thoughts));
    object! {
        "candidates": [candidate], "usageMetadata": usage, "modelVersion": &turn.model,
        "responseId": turn.id("gen-"),
    }
}
