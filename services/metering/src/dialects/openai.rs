//! OpenAI chat and legacy completions, and every server that copies them
//! (spec 5.1 to 5.3): Azure, Groq, DeepSeek, xAI, OpenRouter, Mistral, Gemini
//! and Ollama compatibility, Fireworks, Together, Perplexity, vLLM, SGLang,
//! llama.cpp, LM Studio, TGI.

use crate::dialect::Operation;
use crate::json::Slots;
use crate::record::Record;
use crate::target::{Route, Target};
use crate::usage;
use crate::wire::{
    Event, Framing, OBJECT, REQUEST_ID, STATUS, Wire, fold, length, note_error, note_usage, value,
};

crate::wire::shape! { SHAPE ROWS {
    ID = value("id");
    MODEL = value("model");
    TIER = value("service_tier");

    CHOICES = value("choices");
    CHOICE = fold("choices[]", fold_choice);
    CHOICE_INDEX = value("choices[].index");
    CHOICE_FINISH = value("choices[].finish_reason");
    TEXT = length("choices[].text");
    CONTENT = length("choices[].delta.content");
    PART = fold("choices[].delta.content[]", fold_part);
    PART_TEXT = length("choices[].delta.content[].text");
    THOUGHT = fold("choices[].delta.content[].thinking[]", fold_thought);
    THOUGHT_TEXT = length("choices[].delta.content[].thinking[].text");
    PART_THOUGHT = value("choices[].delta.content[].~thought");
    PARTS_VISIBLE = value("choices[].delta.~visible");
    PARTS_HIDDEN = value("choices[].delta.~hidden");
    REASONING_CONTENT = length("choices[].delta.reasoning_content");
    REASONING = length("choices[].delta.reasoning");
    REASONING_DETAILS = value("choices[].delta.reasoning_details");
    TOOL_CALLS = value("choices[].delta.tool_calls");
    TOOL_CALL = fold("choices[].delta.tool_calls[]", fold_tool_call);
    TOOL_NAME = length("choices[].delta.tool_calls[].function.name");
    TOOL_ARGUMENTS = length("choices[].delta.tool_calls[].function.arguments");
    TOOL_BYTES = value("choices[].delta.~tools");
    FUNCTION_CALL = value("choices[].delta.function_call");
    REFUSAL = length("choices[].delta.refusal");
    AUDIO = length("choices[].delta.audio.data");
    TRANSCRIPT = length("choices[].delta.audio.transcript");
    // Of a whole answer.
    MESSAGE = length("choices[].message.content");
    MESSAGE_REASONING = length("choices[].message.reasoning_content");
    MESSAGE_TOOLS = value("choices[].message.tool_calls");
    MESSAGE_AUDIO = length("choices[].message.audio.data");
    // What the folds leave: content of the event, and its lowest choice.
    VISIBLE = value("choices.~visible");
    HIDDEN = value("choices.~hidden");
    FINISH = value("choices.~finish");
    FINISH_INDEX = value("choices.~finish_index");
    LOWEST = value("choices.~lowest");
    HIGHEST = value("choices.~highest");
} }

pub(crate) static CHAT: Wire = Wire {
    id: "openai-chat",
    operation: Operation::Chat,
    route,
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
    framing: Framing::Sse,
    done: true,
};

pub(crate) static COMPLETIONS: Wire = Wire {
    id: "openai-completions",
    operation: Operation::Completion,
    route: |target: &Target<'_>| {
        target.ends("/completions").then(|| Route {
            deployment: target.after("/deployments/").or_else(|| target.after("/engines/")),
            ..Route::default()
        })
    },
    ..CHAT
};

fn route(target: &Target<'_>) -> Option<Route> {
    // MiniMax has a path of its own for the same API.
    let chat = ["/chat/completions", "/text/chatcompletion_v2"];
    // xAI and Perplexity answer later, on paths of their own.
    let later = ["/chat/deferred-completion/", "/async/chat/completions/"];
    let deferred = later.iter().any(|start| target.after(start).is_some());
    let chats = chat.iter().any(|end| target.ends(end));
    let deployment = target.after("/deployments/");
    (chats || deferred).then(|| Route { deployment, deferred, ..Route::default() })
}

/// Part of a content list, as Mistral sends it.
fn fold_part(slots: &mut Slots, _: u64) {
    slots.add(PARTS_VISIBLE, slots.length(PART_TEXT));
    let thought = slots.count(PART_THOUGHT).unwrap_or(0);
    slots.add(PARTS_HIDDEN, thought);
}

fn fold_thought(slots: &mut Slots, _: u64) {
    slots.add(PART_THOUGHT, slots.length(THOUGHT_TEXT));
}

fn fold_tool_call(slots: &mut Slots, _: u64) {
    slots.add(TOOL_BYTES, slots.length(TOOL_NAME) + slots.length(TOOL_ARGUMENTS));
}

fn fold_choice(slots: &mut Slots, position: u64) {
    let index = slots.count(CHOICE_INDEX).unwrap_or(position);
    if slots.count(LOWEST).is_none_or(|lowest| index < lowest) {
        slots.set(LOWEST, crate::json::Value::Integer(index));
    }
    let highest = slots.count(HIGHEST).unwrap_or(0).max(index);
    slots.set(HIGHEST, crate::json::Value::Integer(highest));
    if slots.text(CHOICE_FINISH).is_some()
        && slots.count(FINISH_INDEX).is_none_or(|lowest| index < lowest)
    {
        slots.copy(CHOICE_FINISH, FINISH);
        slots.set(FINISH_INDEX, crate::json::Value::Integer(index));
    }
    // Moonshot puts the usage of the answer into its choice.
    if let Some(mut counts) = slots.usage(usage::CHOICE).copied() {
        if let Some(others) = slots.usage(usage::CHOICES) {
            counts.join(others);
        }
        slots.set_usage(usage::CHOICES, counts);
    }
    let (visible, hidden) = delta(slots);
    if visible > 0 {
        slots.add(VISIBLE, visible);
    }
    if hidden > 0 {
        slots.add(HIDDEN, hidden);
    }
}

/// Content of a choice in bytes, visible and hidden (spec 2.4).
fn delta(slots: &Slots) -> (u64, u64) {
    let mut visible = slots.length(CONTENT) + slots.length(TEXT) + slots.length(REFUSAL);
    let parts = slots.count(PARTS_VISIBLE).unwrap_or(0);
    let thoughts = slots.count(PARTS_HIDDEN).unwrap_or(0);
    visible += parts;
    if slots.filled(TOOL_CALLS) {
        visible += slots.count(TOOL_BYTES).unwrap_or(0).max(1);
    }
    // Base64 says nothing about the number of tokens; the transcript does.
    let audio = slots.filled(AUDIO) || slots.filled(FUNCTION_CALL);
    visible += slots.length(TRANSCRIPT).max(u64::from(audio));
    let mut hidden = slots.length(REASONING_CONTENT).max(slots.length(REASONING)) + thoughts;
    if slots.filled(REASONING_DETAILS) {
        hidden = hidden.max(1);
    }
    // Some streams repeat the message so far beside the delta.
    if visible + hidden == 0 {
        visible = slots.length(MESSAGE);
        hidden = slots.length(MESSAGE_REASONING);
    }
    let other = [MESSAGE, MESSAGE_TOOLS, MESSAGE_AUDIO].iter().any(|slot| slots.filled(*slot));
    if visible == 0 && other {
        visible = 1;
    }
    // A content list whose parts are of no kind that is known.
    if visible + hidden == 0 && slots.filled(CONTENT) {
        visible = 1;
    }
    (visible, hidden)
}

pub(super) fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    if slots.filled(CHOICES) {
        record.set_id(slots.text(ID));
    }
    note_error(event, record);
    record.set_model(slots.text(MODEL));
    record.set_id(slots.text(ID));
    record.content.visible = slots.count(VISIBLE).unwrap_or(0);
    record.content.hidden = slots.count(HIDDEN).unwrap_or(0);
    record.begin_anew(slots.text(ID));
    record.background |= event.document && is_promise(slots);
    record.several |= slots.count(HIGHEST).is_some_and(|index| index > 0);
    if slots.some(FINISH) {
        record.set_finish_of(slots.count(FINISH_INDEX).unwrap_or(0), slots.text(FINISH));
        record.terminal = true;
    }
    count(event, record);
    // By contract the chunk with usage and without choices is the last one.
    record.closing |= slots.has_usage() && !slots.filled(CHOICES) && slots.some(CHOICES);
    record.set_tier(slots.text(TIER));
}

/// Whether the answer only promises one: it has a ticket, or a status.
fn is_promise(slots: &Slots) -> bool {
    let pending = ["created", "queued", "pending", "in_progress", "processing"];
    let status = slots.text(STATUS).unwrap_or(b"");
    let waits = pending.iter().any(|name| status.eq_ignore_ascii_case(name.as_bytes()));
    !slots.some(CHOICES) && (waits || slots.some(REQUEST_ID))
}

/// Counts of an event. Those on a chunk with choices may be those of a choice.
fn count(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_usage(event, record);
    let of_choice = slots.usage(usage::CHOICES);
    record.by_choice |= of_choice.is_some();
    let last = slots.usage(usage::TOP).filter(|usage| usage.has_counts()).or(of_choice);
    let last = last.or_else(|| slots.usage(usage::TIMINGS));
    if let Some(part) = last.filter(|_| slots.some(CHOICES)) {
        record.count_part(slots.count(LOWEST), part);
    }
}

/// Whether this is an answer of the OpenAI completions API.
pub(super) fn is_text_completion(slots: &Slots) -> bool {
    slots.is(OBJECT, "text_completion")
}
