//! Gemini Interactions: an interaction at the top of a document, or inside the
//! events of a stream (ai.google.dev, "Streaming interactions"; events named
//! `content.*` and `interaction.complete` are those of older revisions).

use crate::dialect::Operation;
use crate::dialects::{anthropic, openai};
use crate::record::Record;
use crate::target::{Ask, Route, Target};
use crate::usage;
use crate::wire::{Event, Framing, STATUS, Wire, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS after openai::ROWS, anthropic::ROWS {
    KIND = value("event_type");
    BACKGROUND = value("background interaction.background");
    // An agent answers in place of a model.
    AGENT = value("agent interaction.agent");
    IN_ID = value("interaction.id");
    IN_MODEL = value("interaction.model");
    IN_STATUS = value("interaction.status");
    ARGUMENTS = length("delta.arguments");
    SUMMARY = length("delta.content.text");
} }

pub(crate) static INTERACTIONS: Wire = Wire {
    id: "gemini-interactions",
    operation: Operation::Chat,
    route,
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
    framing: Framing::Sse,
    done: true,
};

/// `/interactions`, `/interactions/<id>`, `/interactions/<id>/cancel`.
fn route(target: &Target<'_>) -> Option<Route> {
    let streams = target.query("stream").as_deref() == Some("true");
    let ask = if streams { Ask::Yes } else { Ask::Member };
    let mut segments = target.path().rsplit('/').take(3);
    segments.any(|segment| segment == "interactions").then(|| Route { ask, ..Route::default() })
}

fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.set_model(slots.text(AGENT));
    record.set_model(slots.text(IN_MODEL).or_else(|| slots.text(openai::MODEL)));
    record.set_id(slots.text(IN_ID).or_else(|| slots.text(openai::ID)));
    record.background |= slots.is_true(BACKGROUND);
    let kind = slots.text(KIND).unwrap_or(event.name);
    if kind.ends_with(b".delta") {
        record.content.visible = slots.length(anthropic::TEXT) + slots.length(ARGUMENTS);
        record.content.hidden = slots.length(SUMMARY);
    }
    let ended = matches!(kind, b"interaction.completed" | b"interaction.complete");
    if ended || event.document {
        let status = slots.text(IN_STATUS).or_else(|| slots.text(STATUS));
        record.set_finish(status);
        if status == Some(b"failed") {
            record.fail(None);
        }
    }
    record.terminal |= ended;
    note_usage(event, record);
}
