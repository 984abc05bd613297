//! Text Generation Inference (spec 8.4): counts in response headers, or in the
//! details of the last event if the request asked for them.

use crate::dialect::Operation;
use crate::record::{Count, Record};
use crate::target::{Ask, Route};
use crate::wire::{Event, Framing, Wire, length, note_error, plain_tokens, value};

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
    tokens: plain_tokens,
    framing: Framing::Sse,
    done: false,
};

fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.content.visible = slots.length(TOKEN);
    record.terminal |= slots.some(GENERATED);
    record.set_finish(slots.text(FINISH));
    record.counts.merge(Count::Prompt, event.headers.prompt);
    record.counts.merge(Count::Completion, event.headers.completion);
    record.counts.merge(Count::Prompt, slots.count(PROMPT));
    record.counts.merge(Count::Completion, slots.count(COMPLETION));
}
