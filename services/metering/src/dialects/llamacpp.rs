//! llama.cpp's own completion API (spec 8.2). At the root of a server the path
//! `/completions` is this one or OpenAI's: the answer tells.

use crate::dialect::{Dialect, Operation};
use crate::dialects::openai;
use crate::record::Record;
use crate::target::Route;
use crate::usage::{self, Count, Usage};
use crate::wire::{Event, Framing, Wire, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS after openai::ROWS {
    CONTENT = length("content");
    INDEX = value("index");
    STOP = value("stop");
    STOP_TYPE = value("stop_type");
    EVALUATED = value("tokens_evaluated");
    PREDICTED = value("tokens_predicted");
} }

pub(crate) static COMPLETION: Wire = Wire {
    id: "llamacpp-completion",
    operation: Operation::Completion,
    route: |target| {
        let native = target.ends("/completion") || target.ends("/infill");
        (native || target.path() == "/completions").then(Route::default)
    },
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
    // Several prompts are answered by an array.
    framing: Framing::Array,
    done: false,
};

fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    if record.dialect.is_some() || openai::is_text_completion(slots) {
        record.dialect = Some(Dialect::OpenAiCompletions);
        openai::event(event, record);
        return;
    }
    note_error(event, record);
    record.set_model(slots.text(openai::MODEL));
    record.content.visible = slots.length(CONTENT);
    record.terminal |= slots.is_true(STOP);
    record.answered |= slots.is_true(STOP);
    record.set_finish_of(slots.count(INDEX).unwrap_or(0), slots.text(STOP_TYPE));
    record.count(&Usage::of([
        (Count::Prompt, slots.count(EVALUATED)),
        (Count::Completion, slots.count(PREDICTED)),
    ]));
    note_usage(event, record);
}
