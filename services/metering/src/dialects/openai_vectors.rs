//! Embeddings, moderations and reranking (spec 5.5, 5.8, 9.4): one document
//! each, with a prompt count, search units or nothing.

use crate::dialect::Operation;
use crate::reading::Tokens;
use crate::record::{Count, Record, merge_amount};
use crate::target::{Ask, Route, Target};
use crate::wire::{Event, Framing, Wire, note_error, plain_tokens, value};

crate::wire::shape! { SHAPE ROWS {
    ID = value("id");
    MODEL = value("model");
    PROMPT = value("usage.prompt_tokens");
    TOTAL = value("usage.total_tokens");
    CACHED = value("usage.prompt_tokens_details.cached_tokens");
    COST = value("usage.cost");
    SEARCHES = value("meta.billed_units.search_units");
    BILLED_INPUT = value("meta.billed_units.input_tokens");
    INPUT = value("meta.tokens.input_tokens");
} }

pub(crate) static EMBEDDINGS: Wire = Wire {
    id: "openai-embeddings",
    operation: Operation::Embedding,
    route: |target| route(target, &["/embeddings"]),
    shape: &SHAPE,
    event,
    tokens,
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
    tokens: |record| {
        let mut tokens = plain_tokens(record);
        tokens.prompt = tokens.prompt.or(record.counts.get(Count::Total));
        tokens.total = tokens.total.or(tokens.prompt);
        tokens
    },
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
    for (kind, slot) in [
        (Count::Prompt, INPUT),
        (Count::Prompt, PROMPT),
        (Count::Total, TOTAL),
        (Count::Cached, CACHED),
        (Count::BilledPrompt, BILLED_INPUT),
    ] {
        record.counts.merge(kind, slots.count(slot));
    }
    merge_amount(&mut record.search_units, slots.number(SEARCHES));
    merge_amount(&mut record.cost, slots.number(COST));
}

fn tokens(record: &Record) -> Tokens {
    let mut tokens = plain_tokens(record);
    tokens.total = tokens.total.or(tokens.prompt);
    tokens
}
