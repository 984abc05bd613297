//! Embeddings, moderations and reranking (spec 5.5, 5.8, 9.4): one document
//! each, with a prompt count, search units or nothing.

use crate::dialect::Operation;
use crate::record::Record;
use crate::target::{Ask, Route, Target};
use crate::usage;
use crate::wire::{Event, Framing, Wire, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS {
    ID = value("id");
    MODEL = value("model");
} }

pub(crate) static EMBEDDINGS: Wire = Wire {
    id: "openai-embeddings",
    operation: Operation::Embedding,
    route: |target| route(target, &["/embeddings"]),
    shape: &SHAPE,
    event,
    tokens: usage::embedded,
    framing: Framing::Sse,
    done: false,
};

pub(crate) static MODERATIONS: Wire = Wire {
    id: "openai-moderations",
    operation: Operation::Moderation,
    route: |target| route(target, &["/moderations"]),
    ..EMBEDDINGS
};

pub(crate) static RERANK: Wire = Wire {
    id: "rerank",
    operation: Operation::Rerank,
    route: |target| route(target, &["/rerank", "/reranking"]),
    ..EMBEDDINGS
};

fn route(target: &Target<'_>, ends: &[&str]) -> Option<Route> {
    ends.iter().any(|end| target.ends(end)).then(|| Route {
        ask: Ask::No,
        deployment: target.after("/deployments/"),
        ..Route::default()
    })
}

fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.set_id(slots.text(ID));
    record.set_model(slots.text(MODEL));
    note_usage(event, record);
}
