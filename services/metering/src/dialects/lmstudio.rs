//! LM Studio's own chat API (spec 8.3): named events, the last of which holds
//! the whole answer.

use crate::dialect::Operation;
use crate::json::{Slot, Slots};
use crate::record::{Count, Record};
use crate::target::Route;
use crate::wire::{Event, Framing, TYPE, Wire, length, note_error, plain_tokens, value};

crate::wire::shape! { SHAPE ROWS {
    CONTENT = length("content");
    MODEL = value("model_instance_id");
    ID = value("response_id");
    INPUT = value("stats.input_tokens");
    OUTPUT = value("stats.total_output_tokens");
    REASONED = value("stats.reasoning_output_tokens");
    RATE = value("stats.tokens_per_second");
    FIRST_TOKEN = value("stats.time_to_first_token_seconds");
    END_MODEL = value("result.model_instance_id");
    END_ID = value("result.response_id");
    END_INPUT = value("result.stats.input_tokens");
    END_OUTPUT = value("result.stats.total_output_tokens");
    END_REASONED = value("result.stats.reasoning_output_tokens");
    END_RATE = value("result.stats.tokens_per_second");
    END_FIRST_TOKEN = value("result.stats.time_to_first_token_seconds");
} }

pub(crate) static CHAT: Wire = Wire {
    id: "lmstudio-chat",
    operation: Operation::Chat,
    route: |target| target.ends("/api/v1/chat").then(Route::default),
    shape: &SHAPE,
    event,
    tokens: plain_tokens,
    framing: Framing::Sse,
    done: false,
};

fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.set_model(slots.text(MODEL));
    record.set_model(slots.text(END_MODEL));
    record.set_id(slots.text(ID).or_else(|| slots.text(END_ID)));
    let kind = slots.text(TYPE).unwrap_or(event.name);
    match kind {
        b"reasoning.delta" => record.content.hidden = slots.length(CONTENT),
        b"message.delta" => record.content.visible = slots.length(CONTENT),
        b"tool_call.start" | b"tool_call.arguments" => record.content.visible = 1,
        b"chat.end" => record.terminal = true,
        _ => {}
    }
    for (kind, slot) in [
        (Count::Prompt, INPUT),
        (Count::Completion, OUTPUT),
        (Count::Reasoning, REASONED),
        (Count::Prompt, END_INPUT),
        (Count::Completion, END_OUTPUT),
        (Count::Reasoning, END_REASONED),
    ] {
        record.counts.merge(kind, slots.count(slot));
    }
    speeds(slots, record, (INPUT, RATE, FIRST_TOKEN));
    speeds(slots, record, (END_INPUT, END_RATE, END_FIRST_TOKEN));
}

fn speeds(slots: &Slots, record: &mut Record, (input, rate, first): (Slot, Slot, Slot)) {
    let positive = |slot| slots.number(slot).filter(|number| *number > 0.0);
    let told = &mut record.speeds;
    told.decode = positive(rate).or(told.decode);
    let prefill = positive(input).zip(positive(first)).map(|(count, time)| count / time);
    told.prefill = prefill.or(told.prefill);
}
