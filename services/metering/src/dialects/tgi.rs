//! Text Generation Inference (spec 8.4): counts in response headers, or in the
//! details of the last event if the request asked for them.

use crate::dialect::Operation;
use crate::record::Record;
use crate::target::{Ask, Route};
use crate::usage::{self, Count, Usage};
use crate::wire::{Event, Framing, Wire, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS {
    TOKEN = length("token.text");
    GENERATED = length("generated_text");
    FINISH = value("details.finish_reason");
    COMPLETION = value("details.generated_tokens");
    PROMPT = value("details.input_length");
} }

pub(crate) static GENERATE: Wire = Wire {
    id: "tgi-generate",
    operation: Operation::Completion,
    route: |target| {
        if target.ends("/generate_stream") {
            return Some(Route { ask: Ask::Yes, ..Route::default() });
        }
        target.ends("/generate").then(Route::default)
    },
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
    framing: Framing::Sse,
    done: false,
};

fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.content.visible = slots.length(TOKEN);
    record.terminal |= slots.some(GENERATED);
    record.answered |= slots.some(GENERATED);
    record.set_finish(slots.text(FINISH));
    record.count_spare(&Usage::of([
        (Count::Prompt, event.headers.prompt),
        (Count::Completion, event.headers.completion),
    ]));
    record.count(&Usage::of([
        (Count::Prompt, slots.count(PROMPT)),
        (Count::Completion, slots.count(COMPLETION)),
    ]));
    note_usage(event, record);
}
