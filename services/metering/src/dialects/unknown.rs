//! Everything that is no known dialect. An answer in the shape of one is read as
//! that one: gateways serve known APIs under any path. Of others only the kind of
//! an HTTP error is read.

use crate::dialect::{Dialect, Operation};
use crate::dialects::{any, openai};
use crate::record::Record;
use crate::target::{Ask, Route};
use crate::usage;
use crate::wire::{Event, Framing, Wire};

pub(crate) static UNKNOWN: Wire = Wire {
    id: "unknown",
    operation: Operation::Other,
    route: |target| {
        // Databricks and Azure Machine Learning; SageMaker.
        let deployment = ["/serving-endpoints/", "/deployments/", "/endpoints/"]
            .iter()
            .find_map(|start| target.after(start));
        // Of Gemini and of Bedrock.
        let counts = target.ends(":countTokens") || target.ends("/count-tokens");
        let operation = counts.then_some(Operation::CountTokens);
        Some(Route { ask: Ask::Member, deployment, operation, ..Route::default() })
    },
    shape: &any::SHAPE,
    event,
    tokens: |record| match record.dialect {
        Some(Dialect::OpenAiEmbeddings) => usage::embedded(record),
        _ => usage::tokens(record),
    },
    framing: Framing::Any,
    done: true,
};

fn event(event: &Event<'_>, record: &mut Record) {
    any::event(event, record);
    let slots = event.slots;
    record.dialect = record.family;
    if record.dialect.is_none() && event.headers.status < 400 && record.has_counts() {
        // Counts without anything else that is known: by what was counted.
        let generated = usage::tokens(record).completion.is_some();
        record.dialect =
            Some(if generated { Dialect::OpenAiChat } else { Dialect::OpenAiEmbeddings });
        record.set_model(slots.text(openai::MODEL));
        record.set_id(slots.text(openai::ID));
    }
}
