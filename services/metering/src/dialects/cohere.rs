//! Cohere chat (spec 9.3): tokens as processed, and apart from them the units
//! that are billed; counts may be floats.

use crate::dialect::Operation;
use crate::dialects::{anthropic, gemini, openai};
use crate::json::Slots;
use crate::record::Record;
use crate::target::Route;
use crate::usage::{self, Usage};
use crate::wire::{ERROR_TYPE, Event, Framing, TYPE, Wire, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS after openai::ROWS, anthropic::ROWS, gemini::ROWS {
    // Version 1 names its ids otherwise.
    GENERATION_ID = value("generation_id");
    KIND = value("event_type");
    PIECE = length("text");
    FINISH = value("finish_reason");
    DELTA_FINISH = value("delta.finish_reason");
    DELTA_ERROR = value("delta.error");
    TEXT = length("delta.message.content.text");
    THINKING = length("delta.message.content.thinking");
    TOOL_PLAN = length("delta.message.tool_plan");
    TOOL_ARGUMENTS = length("delta.message.tool_calls.function.arguments");
    TOOL_NAME = length("delta.message.tool_calls.function.name");
} }

pub(crate) static CHAT: Wire = Wire {
    id: "cohere-chat",
    operation: Operation::Chat,
    route: |target| (target.ends("/v2/chat") || target.ends("/v1/chat")).then(Route::default),
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
    framing: Framing::Sse,
    done: false,
};

pub(super) fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.set_id(slots.text(openai::ID).or_else(|| slots.text(GENERATION_ID)));
    let finish = slots.text(DELTA_FINISH).or_else(|| slots.text(FINISH));
    record.terminal |= finish.is_some();
    record.set_finish(finish);
    if slots.filled(DELTA_ERROR) {
        record.fail(slots.text(ERROR_TYPE).or(Some(b"ERROR")));
    }
    content(slots, event.name, record);
    note_usage(event, record);
}

fn content(slots: &Slots, name: &[u8], record: &mut Record) {
    let content = &mut record.content;
    match slots.text(TYPE).or_else(|| slots.text(KIND)).unwrap_or(name) {
        b"text-generation" => content.visible = slots.length(PIECE),
        b"content-delta" => {
            content.visible = slots.length(TEXT);
            content.hidden = slots.length(THINKING);
        }
        b"tool-plan-delta" => content.hidden = slots.length(TOOL_PLAN).max(1),
        b"tool-call-start" | b"tool-call-delta" => {
            let text = slots.length(TOOL_NAME) + slots.length(TOOL_ARGUMENTS);
            content.visible = text.max(1);
        }
        _ => {}
    }
}

/// Whether an answer of a server has this shape.
pub(super) fn is_answer(slots: &Slots) -> bool {
    let counts = |place| slots.usage(place).is_some_and(Usage::has_counts);
    let finish = slots.some(FINISH) || slots.some(DELTA_FINISH);
    slots.some(GENERATION_ID)
        || (finish && (counts(usage::TOP) || counts(usage::DELTA)))
        || slots.length(TEXT) > 0
        || slots.length(THINKING) > 0
        || slots.is(KIND, "text-generation")
}
