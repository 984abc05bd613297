//! Ollama's own API (spec 8.1): lines of JSON, streamed unless told not to.
//! Zero counts are left out on the wire, so a missing one is unknown.

use crate::dialect::Operation;
use crate::record::Record;
use crate::target::{Ask, Route, Target};
use crate::usage::{self, Amount, Count, Usage};
use crate::wire::{Event, Framing, Wire, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS {
    MODEL = value("model");
    DONE = value("done");
    DONE_REASON = value("done_reason");
    CONTENT = length("message.content");
    THINKING = length("message.thinking");
    TOOL_CALLS = value("message.tool_calls");
    RESPONSE = length("response");
    RESPONSE_THINKING = length("thinking");
    IMAGE = length("image");
    PROMPT = value("prompt_eval_count");
    COMPLETION = value("eval_count");
    PROMPT_NANOS = value("prompt_eval_duration");
    COMPLETION_NANOS = value("eval_duration");
} }

pub(crate) static CHAT: Wire = Wire {
    id: "ollama-chat",
    operation: Operation::Chat,
    route: |target| route(target, "/api/chat", Ask::UnlessFalse),
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
    framing: Framing::Lines,
    done: false,
};

pub(crate) static GENERATE: Wire = Wire {
    id: "ollama-generate",
    operation: Operation::Completion,
    route: |target| route(target, "/api/generate", Ask::UnlessFalse),
    ..CHAT
};

pub(crate) static EMBED: Wire = Wire {
    id: "ollama-embed",
    operation: Operation::Embedding,
    route: |target| route(target, "/api/embed", Ask::No),
    tokens: usage::embedded,
    ..CHAT
};

fn route(target: &Target<'_>, end: &str, ask: Ask) -> Option<Route> {
    target.ends(end).then(|| Route { ask, ..Route::default() })
}

fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.set_model(slots.text(MODEL));
    record.content.visible = slots.length(CONTENT)
        + slots.length(RESPONSE)
        + u64::from(slots.filled(TOOL_CALLS) || slots.filled(IMAGE));
    record.content.hidden = slots.length(THINKING) + slots.length(RESPONSE_THINKING);
    record.terminal |= slots.is_true(DONE);
    record.answered |= slots.is_true(DONE);
    record.set_finish(slots.text(DONE_REASON));
    let seconds = |nanos| slots.number(nanos).map(|nanos| nanos / 1e9);
    let mut usage = Usage::of([
        (Count::Prompt, slots.count(PROMPT)),
        (Count::Completion, slots.count(COMPLETION)),
    ]);
    usage.set_amount(Amount::PrefillTime, seconds(PROMPT_NANOS));
    usage.set_amount(Amount::DecodeTime, seconds(COMPLETION_NANOS));
    record.count(&usage);
    note_usage(event, record);
}
