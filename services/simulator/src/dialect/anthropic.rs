//! Anthropic messages: input without its cached parts, thinking and tool use as
//! content blocks, an end without `[DONE]`.

use crate::{
    transcript::Writer,
    turn::{Finish, Turn},
    wire::{EmptyArray, Null, Object, Raw, object},
};

/// A plain answer.
pub(super) fn plain(turn: &Turn) -> Object {
    let mut content = Vec::new();
    if let Some(thinking) = turn.reasoning() {
        content.push(object! {
            "type": "thinking", "thinking": thinking, "signature": "c2ltdWxhdGVk",
        });
    }
    content.push(match &turn.tool {
        // The text of a call is its arguments, which are JSON already.
        Some(name) => tool_block(turn, name).member("input", Raw(&turn.text())),
        None => object! { "type": "text", "text": turn.text() },
    });
    object! {
        "id": turn.id("msg_"), "type": "message", "role": "assistant", "model": &turn.model,
        "content": content, "stop_reason": stop_reason(turn), "stop_sequence": Null,
        "usage": with_cache_split(turn, usage(turn, turn.output_tokens))
            .maybe("output_tokens_details", thinking_details(turn))
            .member("service_tier", "standard"),
    }
}

/// A stream: message_start, the blocks, message_delta with the counts,
/// message_stop.
pub(super) fn stream(turn: &Turn, writer: &mut Writer) {
    let message = object! {
        "id": turn.id("msg_"), "type": "message", "role": "assistant", "model": &turn.model,
        "content": EmptyArray, "stop_reason": Null, "stop_sequence": Null,
        "usage": with_cache_split(turn, usage(turn, turn.output_tokens.min(1)))
            .member("service_tier", "standard"),
    };
    named(writer, "message_start", object! { "message": message }, false);
    let mut index = 0;
    if turn.reasoning_tokens > 0 {
        let block = object! { "type": "thinking", "thinking": "", "signature": "" };
        start(writer, index, block);
        ping(writer);
        for piece in turn.reasoning_pieces() {
            let delta = object! { "type": "thinking_delta", "thinking": piece };
            block_delta(writer, index, delta, true);
        }
        let signature = object! { "type": "signature_delta", "signature": "c2ltdWxhdGVk" };
        block_delta(writer, index, signature, false);
        stop(writer, index);
        index += 1;
    }
    let block = match &turn.tool {
        Some(name) => tool_block(turn, name).member("input", Object::default()),
        None => object! { "type": "text", "text": "" },
    };
    start(writer, index, block);
    if index == 0 {
        ping(writer);
    }
    for piece in turn.visible_pieces() {
        let delta = match turn.tool {
            Some(_) => object! { "type": "input_json_delta", "partial_json": piece },
            None => object! { "type": "text_delta", "text": piece },
        };
        block_delta(writer, index, delta, true);
    }
    stop(writer, index);
    let end = object! {
        "delta": object! { "stop_reason": stop_reason(turn), "stop_sequence": Null },
        "usage": usage(turn, turn.output_tokens)
            .maybe("output_tokens_details", thinking_details(turn)),
    };
    named(writer, "message_delta", end, false);
    named(writer, "message_stop", Object::default(), false);
}

/// The answer of `/messages/count_tokens`.
pub(super) fn count_tokens(turn: &Turn) -> Object {
    object! { "input_tokens": turn.prompt_tokens }
}

/// The error body for a status.
pub(super) fn error(status: u16, message: &str) -> Object {
    let kind = match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    object! { "type": "error", "error": object! { "type": kind, "message": message } }
}

fn named(writer: &mut Writer, name: &str, members: Object, token: bool) {
    writer.named(name, &object! { "type": name }.and(members), token);
}

fn start(writer: &mut Writer, index: u64, block: Object) {
    named(writer, "content_block_start", object! { "index": index, "content_block": block }, false);
}

fn block_delta(writer: &mut Writer, index: u64, delta: Object, token: bool) {
    named(writer, "content_block_delta", object! { "index": index, "delta": delta }, token);
}

fn stop(writer: &mut Writer, index: u64) {
    named(writer, "content_block_stop", object! { "index": index }, false);
}

fn ping(writer: &mut Writer) {
    named(writer, "ping", Object::default(), false);
}

fn tool_block(turn: &Turn, name: &str) -> Object {
    object! { "type": "tool_use", "id": turn.id("toolu_"), "name": name }
}

fn stop_reason(turn: &Turn) -> &'static str {
    match turn.finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Tool => "tool_use",
    }
}

fn usage(turn: &Turn, output_tokens: u64) -> Object {
    object! {
        "input_tokens": turn.fresh_tokens(),
        "cache_creation_input_tokens": turn.cache_write_tokens,
        "cache_read_input_tokens": turn.cached_tokens,
        "output_tokens": output_tokens,
    }
}

fn with_cache_split(turn: &Turn, usage: Object) -> Object {
    usage.member(
        "cache_creation",
        object! {
            "ephemeral_5m_input_tokens": turn.cache_write_tokens,
            "ephemeral_1h_input_tokens": 0_u64,
        },
    )
}

fn thinking_details(turn: &Turn) -> Option<Object> {
    (turn.reasoning_tokens > 0).then(|| object! { "thinking_tokens": turn.reasoning_tokens })
}
