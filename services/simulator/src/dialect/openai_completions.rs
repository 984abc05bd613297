//! OpenAI legacy completions.

use super::openai_chat::usage;
use crate::{
    transcript::Writer,
    turn::{Finish, Turn},
    wire::{EmptyArray, Null, Object, object},
};

/// A plain answer.
pub(super) fn plain(turn: &Turn) -> Object {
    head(turn)
        .member("choices", [choice(&turn.text(), Some(finish(turn)))])
        .member("usage", usage(turn))
}

/// A stream: tokens, finish, usage if asked for, `[DONE]`.
pub(super) fn stream(turn: &Turn, writer: &mut Writer) {
    let chunk = |choice: Object| {
        head(turn).member("choices", [choice]).maybe("usage", turn.include_usage.then_some(Null))
    };
    for piece in turn.reasoning_pieces().chain(turn.visible_pieces()) {
        writer.data(&chunk(choice(&piece, None)), true);
    }
    writer.data(&chunk(choice("", Some(finish(turn)))), false);
    if turn.include_usage {
        let last = head(turn).member("choices", EmptyArray).member("usage", usage(turn));
        writer.data(&last, false);
    }
    writer.event("data: [DONE]\n\n");
}

fn head(turn: &Turn) -> Object {
    object! {
        "id": turn.id("cmpl-"), "object": "text_completion", "created": turn.created,
        "model": &turn.model,
    }
}

fn choice(text: &str, finish: Option<&str>) -> Object {
    object! { "text": text, "index": 0_u64, "logprobs": Null, "finish_reason": finish }
}

fn finish(turn: &Turn) -> &'static str {
    if turn.finish == Finish::Length { "length" } else { "stop" }
}
