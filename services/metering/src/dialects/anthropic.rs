//! Anthropic Messages, direct, on Vertex, on Foundry and on the servers that
//! copy them (spec 6). Input counts leave cache reads and writes out.

use crate::dialect::Operation;
use crate::dialects::openai;
use crate::json::Slots;
use crate::reading::Tokens;
use crate::record::Record;
use crate::target::{Ask, Route, Target};
use crate::usage;
use crate::wire::{Event, Framing, TYPE, Wire, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS after openai::ROWS {
    STOP = value("stop_reason");
    MESSAGE_ID = value("message.id");
    MESSAGE_MODEL = value("message.model");
    MESSAGE_STOP = value("message.stop_reason");
    DELTA_STOP = value("delta.stop_reason");
    // Of a block that says which model answers from here on; the last one stays.
    FALLBACK = value("content_block.to.model content[].to.model");
    DOCUMENT_TEXT = length("content[].text");

    TEXT = length("delta.text");
    THINKING = length("delta.thinking");
    JSON = length("delta.partial_json");
    DELTA_TYPE = value("delta.type");
    BLOCK_TYPE = value("content_block.type");
    BLOCK_TEXT = length("content_block.text");
    BLOCK_THINKING = length("content_block.thinking");
    BLOCK_DATA = length("content_block.data");
} }

pub(crate) static MESSAGES: Wire = Wire {
    id: "anthropic-messages",
    operation: Operation::Chat,
    route: messages_route,
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
    framing: Framing::Sse,
    done: false,
};

pub(crate) static COUNT_TOKENS: Wire = Wire {
    id: "anthropic-count-tokens",
    operation: Operation::CountTokens,
    route: |target| {
        let counts = target.ends("/messages/count_tokens")
            || target.ends("/publishers/anthropic/models/count-tokens:rawPredict");
        counts.then(|| Route { ask: Ask::No, ..Route::default() })
    },
    // A count is no consumption: only errors are read.
    event: note_error,
    tokens: |_| Tokens::default(),
    ..MESSAGES
};

fn messages_route(target: &Target<'_>) -> Option<Route> {
    let vertex = "/publishers/anthropic/models/";
    if let Some(model) = target.between(vertex, ":streamRawPredict") {
        return Some(Route { model: Some(model), ask: Ask::Yes, ..Route::default() });
    }
    if let Some(model) = target.between(vertex, ":rawPredict") {
        return Some(Route { model: Some(model), ..Route::default() });
    }
    // Threads of the OpenAI Assistants API have messages too.
    let threads = target.path().rsplit('/').nth(2) == Some("threads");
    (target.ends("/messages") && !threads).then(Route::default)
}

pub(super) fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.set_model(slots.text(MESSAGE_MODEL).or_else(|| slots.text(openai::MODEL)));
    record.set_model(slots.text(FALLBACK));
    record.set_id(slots.text(MESSAGE_ID).or_else(|| slots.text(openai::ID)));
    if slots.is(TYPE, "message_start") {
        record.begin_generation(slots.text(MESSAGE_ID));
    }
    for stop in [MESSAGE_STOP, STOP, DELTA_STOP] {
        record.set_finish(slots.text(stop));
    }
    record.terminal |= slots.text(DELTA_STOP).is_some() || slots.is(TYPE, "message_stop");
    content(slots, record);
    if event.document {
        record.content.visible = slots.length(DOCUMENT_TEXT);
    }
    note_usage(event, record);
}

fn content(slots: &Slots, record: &mut Record) {
    if slots.is(TYPE, "content_block_delta") {
        record.content.visible = slots.length(TEXT) + slots.length(JSON);
        record.content.hidden = slots.length(THINKING);
    } else if slots.is(TYPE, "content_block_start") {
        let tool = ["tool_use", "server_tool_use", "mcp_tool_use"];
        let tool = tool.iter().any(|tool| slots.is(BLOCK_TYPE, tool));
        record.content.visible = slots.length(BLOCK_TEXT).max(u64::from(tool));
        record.content.hidden =
            slots.length(BLOCK_THINKING).max(u64::from(slots.filled(BLOCK_DATA)));
    }
}
