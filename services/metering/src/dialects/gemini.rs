//! Gemini and Vertex content generation (spec 7): SSE, or one JSON array written
//! element by element. Thoughts are beside the candidates, mostly.

use crate::dialect::Operation;
use crate::dialects::{anthropic, openai};
use crate::json::{Slots, Value};
use crate::record::Record;
use crate::target::{Ask, Route, Target};
use crate::usage;
use crate::wire::{Event, Framing, Wire, fold, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS after openai::ROWS, anthropic::ROWS {
    ID = value("responseId response.responseId");
    MODEL = value("modelVersion response.modelVersion");
    BLOCKED = value("promptFeedback.blockReason response.promptFeedback.blockReason");
    CANDIDATE = fold("candidates[] response.candidates[]", fold_candidate);
    INDEX = value("candidates[].index response.candidates[].index");
    FINISH = value("candidates[].finishReason response.candidates[].finishReason");
    PART = fold("candidates[].content.parts[] response.candidates[].content.parts[]", fold_part);
    TEXT = length("candidates[].content.parts[].text response.candidates[].content.parts[].text");
    THOUGHT = value("candidates[].content.parts[].thought response.candidates[].content.parts[].thought");
    CALL = value("candidates[].content.parts[].functionCall response.candidates[].content.parts[].functionCall");
    DATA = value("candidates[].content.parts[].inlineData response.candidates[].content.parts[].inlineData");
    CODE = value("candidates[].content.parts[].executableCode response.candidates[].content.parts[].executableCode");
    CODE_RESULT = value("candidates[].content.parts[].codeExecutionResult response.candidates[].content.parts[].codeExecutionResult");
    VISIBLE = value("candidates.~visible response.candidates.~visible");
    HIDDEN = value("candidates.~hidden response.candidates.~hidden");
    LOWEST = value("candidates.~index response.candidates.~index");
    SEVERAL = value("candidates.~several response.candidates.~several");
    LOWEST_FINISH = value("candidates.~finish response.candidates.~finish");
} }

pub(crate) static GENERATE: Wire = Wire {
    id: "gemini-generate",
    operation: Operation::Chat,
    route,
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
    framing: Framing::Array,
    done: false,
};

pub(crate) static EMBED: Wire = Wire {
    id: "gemini-embed",
    operation: Operation::Embedding,
    route: |target| {
        let model = model(target, ":embedContent");
        let model = model.or_else(|| self::model(target, ":batchEmbedContents"))?;
        Some(Route { model: Some(model), ask: Ask::No, ..Route::default() })
    },
    tokens: usage::embedded,
    framing: Framing::Sse,
    ..GENERATE
};

fn route(target: &Target<'_>) -> Option<Route> {
    // Code Assist has no model in its path, and wraps each answer in `response`.
    [(":streamGenerateContent", Ask::Yes), (":generateContent", Ask::No)]
        .into_iter()
        .find(|(method, _)| target.ends(method))
        .map(|(method, ask)| Route { model: model(target, method), ask, ..Route::default() })
}

/// The model that a path names before a method.
fn model(target: &Target<'_>, method: &str) -> Option<String> {
    ["/models/", "/tunedModels/", "/endpoints/"]
        .iter()
        .find_map(|start| target.between(start, method))
}

fn fold_part(slots: &mut Slots, _: u64) {
    let text = slots.length(TEXT);
    let other = [CALL, DATA, CODE, CODE_RESULT].iter().any(|slot| slots.some(*slot));
    let bytes = text.max(u64::from(other));
    if bytes > 0 {
        slots.add(if slots.is_true(THOUGHT) { HIDDEN } else { VISIBLE }, bytes);
    }
}

fn fold_candidate(slots: &mut Slots, position: u64) {
    let index = slots.count(INDEX).unwrap_or(position);
    if index > 0 {
        slots.set(SEVERAL, Value::Bool(true));
    }
    if slots.text(FINISH).is_some() && slots.count(LOWEST).is_none_or(|lowest| index < lowest) {
        slots.set(LOWEST, Value::Integer(index));
        slots.copy(FINISH, LOWEST_FINISH);
    }
}

pub(super) fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    record.gemini = true;
    note_error(event, record);
    record.set_model(slots.text(MODEL));
    record.set_id(slots.text(ID));
    record.content.visible = slots.count(VISIBLE).unwrap_or(0);
    record.content.hidden = slots.count(HIDDEN).unwrap_or(0);
    record.begin_anew(slots.text(ID));
    record.several |= slots.is_true(SEVERAL);
    if let Some(index) = slots.count(LOWEST) {
        record.set_finish_of(index, slots.text(LOWEST_FINISH));
        record.terminal |= index == 0;
    }
    if slots.text(BLOCKED).is_some() {
        record.set_finish(slots.text(BLOCKED));
        record.terminal = true;
    }
    note_usage(event, record);
}

/// Whether an answer of a server has this shape.
pub(super) fn is_answer(slots: &Slots) -> bool {
    [MODEL, LOWEST, VISIBLE, HIDDEN, BLOCKED].iter().any(|slot| slots.some(*slot))
}
