//! llama.cpp's own completion API (spec 8.2). At the root of a server the path
//! `/completions` is this one or OpenAI's: the answer tells.

use crate::dialect::{Dialect, Operation};
use crate::dialects::openai;
use crate::reading::Tokens;
use crate::record::{Count, Record};
use crate::target::Route;
use crate::wire::{Event, Framing, Wire, length, note_error, plain_tokens, value};

crate::wire::shape! { SHAPE ROWS after openai::ROWS {
    CONTENT = length("content");
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
    tokens,
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
    record.set_finish(slots.text(STOP_TYPE));
    record.counts.merge(Count::Prompt, slots.count(EVALUATED));
    record.counts.merge(Count::Completion, slots.count(PREDICTED));
    record.counts.merge(Count::Cached, slots.count(openai::CACHE_N));
    let positive = |slot| slots.number(slot).filter(|rate| *rate > 0.0);
    let speeds = &mut record.speeds;
    speeds.prefill = positive(openai::PROMPT_RATE).or(speeds.prefill);
    speeds.decode = positive(openai::PREDICTED_RATE).or(speeds.decode);
}

fn tokens(record: &Record) -> Tokens {
    if record.dialect.is_some() { openai::tokens(record) } else { plain_tokens(record) }
}
