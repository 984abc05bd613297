//! Gemini and Vertex content generation (spec 7): SSE, or one JSON array written
//! element by element. Thoughts are beside the candidates, mostly.

use crate::dialect::Operation;
use crate::json::{Slots, Value};
use crate::reading::Tokens;
use crate::record::{Count, Record};
use crate::target::{Ask, Route, Target};
use crate::wire::{Event, Framing, Wire, fold, length, note_error, plain_tokens, total, value};

crate::wire::shape! { SHAPE ROWS {
    ID = value("responseId");
    MODEL = value("modelVersion");
    BLOCKED = value("promptFeedback.blockReason");
    CANDIDATE = fold("candidates[]", fold_candidate);
    INDEX = value("candidates[].index");
    FINISH = value("candidates[].finishReason");
    PART = fold("candidates[].content.parts[]", fold_part);
    TEXT = length("candidates[].content.parts[].text");
    THOUGHT = value("candidates[].content.parts[].thought");
    CALL = value("candidates[].content.parts[].functionCall");
    DATA = value("candidates[].content.parts[].inlineData");
    CODE = value("candidates[].content.parts[].executableCode");
    CODE_RESULT = value("candidates[].content.parts[].codeExecutionResult");
    VISIBLE = value("candidates.~visible");
    HIDDEN = value("candidates.~hidden");
    LOWEST = value("candidates.~index");
    LOWEST_FINISH = value("candidates.~finish");

    PROMPT = value("usageMetadata.promptTokenCount");
    CACHED = value("usageMetadata.cachedContentTokenCount");
    CANDIDATES = value("usageMetadata.candidatesTokenCount");
    THOUGHTS = value("usageMetadata.thoughtsTokenCount");
    TOOLS = value("usageMetadata.toolUsePromptTokenCount");
    TOTAL = value("usageMetadata.totalTokenCount");
    TRAFFIC = value("usageMetadata.trafficType");
    PROMPT_DETAIL = fold("usageMetadata.promptTokensDetails[]", fold_prompt_detail);
    PROMPT_KIND = value("usageMetadata.promptTokensDetails[].modality");
    PROMPT_COUNT = value("usageMetadata.promptTokensDetails[].tokenCount");
    PROMPT_AUDIO = value("usageMetadata.promptTokensDetails.~audio");
    OUTPUT_DETAIL = fold("usageMetadata.candidatesTokensDetails[]", fold_output_detail);
    OUTPUT_KIND = value("usageMetadata.candidatesTokensDetails[].modality");
    OUTPUT_COUNT = value("usageMetadata.candidatesTokensDetails[].tokenCount");
    OUTPUT_AUDIO = value("usageMetadata.candidatesTokensDetails.~audio");
} }

pub(crate) static GENERATE: Wire = Wire {
    id: "gemini-generate",
    operation: Operation::Chat,
    route,
    shape: &SHAPE,
    event,
    tokens,
    framing: Framing::Array,
    done: false,
};

fn route(target: &Target<'_>) -> Option<Route> {
    let model = |method| {
        ["/models/", "/tunedModels/", "/endpoints/"]
            .iter()
            .find_map(|start| target.between(start, method))
    };
    if let Some(model) = model(":streamGenerateContent") {
        return Some(Route { model: Some(model), ask: Ask::Yes, ..Route::default() });
    }
    let model = model(":generateContent")?;
    Some(Route { model: Some(model), ask: Ask::No, ..Route::default() })
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
    if slots.text(FINISH).is_some() && slots.count(LOWEST).is_none_or(|lowest| index < lowest) {
        slots.set(LOWEST, Value::Integer(index));
        slots.copy(FINISH, LOWEST_FINISH);
    }
}

fn fold_prompt_detail(slots: &mut Slots, _: u64) {
    if let Some(count) = slots.count(PROMPT_COUNT).filter(|_| slots.is(PROMPT_KIND, "AUDIO")) {
        slots.add(PROMPT_AUDIO, count);
    }
}

fn fold_output_detail(slots: &mut Slots, _: u64) {
    if let Some(count) = slots.count(OUTPUT_COUNT).filter(|_| slots.is(OUTPUT_KIND, "AUDIO")) {
        slots.add(OUTPUT_AUDIO, count);
    }
}

fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.set_model(slots.text(MODEL));
    record.set_id(slots.text(ID));
    record.set_tier(slots.text(TRAFFIC));
    record.content.visible = slots.count(VISIBLE).unwrap_or(0);
    record.content.hidden = slots.count(HIDDEN).unwrap_or(0);
    if let Some(index) = slots.count(LOWEST) {
        record.set_finish_of(index, slots.text(LOWEST_FINISH));
        record.terminal |= index == 0;
    }
    if slots.text(BLOCKED).is_some() {
        record.set_finish(slots.text(BLOCKED));
        record.terminal = true;
    }
    for (kind, slot) in [
        (Count::Prompt, PROMPT),
        (Count::Cached, CACHED),
        (Count::Completion, CANDIDATES),
        (Count::Reasoning, THOUGHTS),
        (Count::ToolPrompt, TOOLS),
        (Count::Total, TOTAL),
        (Count::AudioPrompt, PROMPT_AUDIO),
        (Count::AudioCompletion, OUTPUT_AUDIO),
    ] {
        record.counts.merge(kind, slots.count(slot));
    }
}

/// Rules of spec 7.3.
fn tokens(record: &Record) -> Tokens {
    let get = |kind| record.counts.get(kind);
    let mut tokens = plain_tokens(record);
    let (prompt, tools) = (get(Count::Prompt), get(Count::ToolPrompt));
    let (candidates, thoughts) = (get(Count::Completion), get(Count::Reasoning));
    let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (None, None) => None,
        _ => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
    };
    tokens.prompt = sum(prompt, tools);
    let reported = get(Count::Total);
    let inside = thoughts.is_some_and(|thoughts| thoughts > 0)
        && candidates.is_some()
        && reported.is_some()
        && sum(tokens.prompt, candidates) == reported;
    tokens.completion = if inside { candidates } else { sum(candidates, thoughts) };
    tokens.total = total(tokens.prompt, tokens.completion, reported);
    tokens
}
