//! LM Studio's own chat API (spec 8.3): named events, the last of which holds
//! the whole answer.

use crate::dialect::Operation;
use crate::record::Record;
use crate::target::Route;
use crate::usage;
use crate::wire::{Event, Framing, TYPE, Wire, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS {
    CONTENT = length("content");
    MODEL = value("model_instance_id");
    ID = value("response_id");
    END_MODEL = value("result.model_instance_id");
    END_ID = value("result.response_id");
} }

pub(crate) static CHAT: Wire = Wire {
    id: "lmstudio-chat",
    operation: Operation::Chat,
    route: |target| target.ends("/api/v1/chat").then(Route::default),
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
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
    note_usage(event, record);
}
