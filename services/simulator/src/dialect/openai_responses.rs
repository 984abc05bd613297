//! OpenAI responses: named events that each repeat their name as `type`, the
//! whole answer once more in the last one, and no `[DONE]`.

use crate::{
    transcript::Writer,
    turn::{FILLER_MARK, Finish, Turn},
    wire::{EmptyArray, Null, Object, object},
};

/// A plain answer.
pub(super) fn plain(turn: &Turn) -> Object {
    response(turn, true, &turn.text())
}

/// A stream of events.
pub(super) fn stream(turn: &Turn, writer: &mut Writer) {
    let mut events = Events { writer, sequence: 0 };
    let begun = object! { "response": response(turn, false, "") };
    events.push("response.created", begun.clone(), false);
    events.push("response.in_progress", begun, false);
    let mut output_index = 0;
    if turn.reasoning_tokens > 0 {
        reasoning(turn, &mut events);
        output_index = 1;
    }
    let text = match &turn.tool {
        Some(name) => call(turn, name, output_index, &mut events),
        None => message(turn, output_index, &mut events),
    };
    let end = if turn.finish == Finish::Length { "incomplete" } else { "completed" };
    let done = object! { "response": response(turn, true, &text) };
    events.push(&format!("response.{end}"), done, false);
}

/// The event of an error in mid-stream.
pub(super) fn error_event() -> String {
    let error = object! {
        "type": "error", "code": "server_error", "message": "The simulated server failed.",
        "param": Null,
    };
    format!("event: error\ndata: {}\n\n", error.text())
}

struct Events<'a> {
    writer: &'a mut Writer,
    sequence: u64,
}

impl Events<'_> {
    fn push(&mut self, kind: &str, members: Object, token: bool) {
        let event = object! { "type": kind }.and(members).member("sequence_number", self.sequence);
        self.sequence += 1;
        self.writer.named(kind, &event, token);
    }
}

fn reasoning(turn: &Turn, events: &mut Events<'_>) {
    let item = || object! { "id": turn.id("rs_"), "type": "reasoning" };
    let place =
        || object! { "item_id": turn.id("rs_"), "output_index": 0_u64, "summary_index": 0_u64 };
    let part = |text: &str| object! { "type": "summary_text", "text": text };
    let added = object! { "output_index": 0_u64, "item": item().member("summary", EmptyArray) };
    events.push("response.output_item.added", added, false);
    let begun = place().member("part", part(""));
    events.push("response.reasoning_summary_part.added", begun, false);
    for piece in turn.reasoning_pieces() {
        let delta = place().member("delta", piece);
        events.push("response.reasoning_summary_text.delta", delta, true);
    }
    let text = turn.reasoning().unwrap_or_default();
    let done = place().member("text", &text);
    events.push("response.reasoning_summary_text.done", done, false);
    let item = item().member("summary", [part(&text)]);
    let done = object! { "output_index": 0_u64, "item": item };
    events.push("response.output_item.done", done, false);
}

/// The events of a message; hands back its text without filler.
fn message(turn: &Turn, output_index: u64, events: &mut Events<'_>) -> String {
    let place = || {
        object! {
            "item_id": turn.id("msg_"), "output_index": output_index, "content_index": 0_u64,
        }
    };
    let begun = object! {
        "id": turn.id("msg_"), "type": "message", "status": "in_progress",
        "content": EmptyArray, "role": "assistant",
    };
    let added = object! { "output_index": output_index, "item": begun };
    events.push("response.output_item.added", added, false);
    events.push("response.content_part.added", place().member("part", text_part("")), false);
    for piece in turn.visible_pieces() {
        let delta = place().member("delta", piece).member("logprobs", EmptyArray);
        events.push("response.output_text.delta", delta, true);
    }
    let text = turn.text().replace(FILLER_MARK, "");
    let done = place().member("text", &text).member("logprobs", EmptyArray);
    events.push("response.output_text.done", done, false);
    events.push("response.content_part.done", place().member("part", text_part(&text)), false);
    let item = object! { "output_index": output_index, "item": message_item(turn, &text) };
    events.push("response.output_item.done", item, false);
    text
}

/// The events of a function call; hands back its arguments without filler.
fn call(turn: &Turn, name: &str, output_index: u64, events: &mut Events<'_>) -> String {
    let place = || object! { "item_id": turn.id("fc_"), "output_index": output_index };
    let added = object! { "output_index": output_index, "item": call_item(turn, name, "") };
    events.push("response.output_item.added", added, false);
    for piece in turn.visible_pieces() {
        let delta = place().member("delta", piece);
        events.push("response.function_call_arguments.delta", delta, true);
    }
    let text = turn.text().replace(FILLER_MARK, "");
    let done = place().member("arguments", &text);
    events.push("response.function_call_arguments.done", done, false);
    let item = object! { "output_index": output_index, "item": call_item(turn, name, &text) };
    events.push("response.output_item.done", item, false);
    text
}

fn text_part(text: &str) -> Object {
    object! { "type": "output_text", "annotations": EmptyArray, "text": text }
}

fn message_item(turn: &Turn, text: &str) -> Object {
    object! {
        "id": turn.id("msg_"), "type": "message", "status": "completed", "role": "assistant",
        "content": [text_part(text)],
    }
}

fn call_item(turn: &Turn, name: &str, arguments: &str) -> Object {
    object! {
        "id": turn.id("fc_"), "type": "function_call", "status": "completed",
        "call_id": turn.id("call_"), "name": name, "arguments": arguments,
    }
}

/// The response object: as it begins, or finished with its output and usage.
fn response(turn: &Turn, finished: bool, text: &str) -> Object {
    let (status, reason) = match (finished, turn.finish) {
        (false, _) => ("in_progress", None),
        (true, Finish::Length) => ("incomplete", Some("max_output_tokens")),
        (true, _) => ("completed", None),
    };
    let mut output = Vec::new();
    if finished {
        if let Some(summary) = turn.reasoning() {
            output.push(object! {
                "id": turn.id("rs_"), "type": "reasoning",
                "summary": [object! { "type": "summary_text", "text": summary }],
            });
        }
        output.push(match &turn.tool {
            Some(name) => call_item(turn, name, text),
            None => message_item(turn, text),
        });
    }
    object! {
        "id": turn.id("resp_"), "object": "response", "created_at": turn.created,
        "status": status, "background": false, "error": Null,
        "incomplete_details": reason.map(|reason| object! { "reason": reason }),
        "model": &turn.model, "output": output, "parallel_tool_calls": true,
        "tool_choice": "auto", "tools": EmptyArray,
        "service_tier": if finished { "default" } else { "auto" },
        "usage": finished.then(|| usage(turn)),
    }
}

fn usage(turn: &Turn) -> Object {
    object! {
        "input_tokens": turn.prompt_tokens,
        "input_tokens_details": object! {
            "cached_tokens": turn.cached_tokens, "cache_write_tokens": turn.cache_write_tokens,
        },
        "output_tokens": turn.output_tokens,
        "output_tokens_details": object! { "reasoning_tokens": turn.reasoning_tokens },
        "total_tokens": turn.prompt_tokens + turn.output_tokens,
    }
}
