//! Answers whose shape the request does not tell: those on paths that nobody
//! knows, as gateways have them, and those of Bedrock Invoke, where each family
//! of models answers in its own (spec 9.2). The first event that shows a family
//! decides.

use crate::dialect::Dialect;
use crate::dialects::{anthropic, cohere, gemini, openai, responses};
use crate::error::has_error_object;
use crate::json::Slots;
use crate::record::Record;
use crate::usage::{self, Count, Usage};
use crate::wire::{Event, OBJECT, TYPE, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS
after openai::ROWS, anthropic::ROWS, gemini::ROWS, cohere::ROWS, responses::ROWS {
    // Nova: the events of Converse, each as a member.
    NOVA_STOP = value("messageStop.stopReason stopReason");
    NOVA_TEXT = length("contentBlockDelta.delta.text");
    NOVA_REASONING = length("contentBlockDelta.delta.reasoningContent.text");
    NOVA_INPUT = length("contentBlockDelta.delta.toolUse.input");
    NOVA_TOOL = value("contentBlockStart.start.toolUse");
    // Llama, Titan, Mistral and older Cohere models on Bedrock; watsonx.
    PLAIN_TEXT = length("generation outputText outputs[].text");
    PLAIN_MODEL = value("model_id");
    PLAIN_PROMPT = value("prompt_token_count inputTextTokenCount results[].input_token_count");
    PLAIN_COMPLETION = value("generation_token_count totalOutputTextTokenCount results[].tokenCount results[].generated_token_count");
    PLAIN_STOP = value("completionReason results[].completionReason outputs[].stop_reason results[].stop_reason generations[].finish_reason");
} }

/// An event of any family.
pub(super) fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    record.family = record.family.or_else(|| family(slots));
    match record.family {
        Some(Dialect::AnthropicMessages) => anthropic::event(event, record),
        Some(Dialect::GeminiGenerate) => gemini::event(event, record),
        Some(Dialect::CohereChat) => cohere::event(event, record),
        Some(Dialect::OpenAiResponses) => responses::responses_event(event, record),
        Some(_) => openai::event(event, record),
        None => plain(event, record),
    }
}

/// Whose shape an event has.
fn family(slots: &Slots) -> Option<Dialect> {
    let kind = slots.text(TYPE).unwrap_or(b"");
    let object = slots.text(OBJECT).unwrap_or(b"");
    if slots.some(openai::CHOICES) {
        let text = openai::is_text_completion(slots);
        return Some(if text { Dialect::OpenAiCompletions } else { Dialect::OpenAiChat });
    }
    if object == b"response" || kind.starts_with(b"response.") {
        return Some(Dialect::OpenAiResponses);
    }
    if matches!(kind, b"message" | b"message_start") || kind.starts_with(b"content_block_") {
        return Some(Dialect::AnthropicMessages);
    }
    if slots.usage(usage::METADATA).is_some() || gemini::is_answer(slots) {
        return Some(Dialect::GeminiGenerate);
    }
    cohere::is_answer(slots).then_some(Dialect::CohereChat)
}

/// An event that shows no family.
fn plain(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    if event.headers.status >= 400 || has_error_object(slots) {
        note_error(event, record);
    }
    record.set_model(slots.text(PLAIN_MODEL));
    for stop in [NOVA_STOP, PLAIN_STOP, anthropic::STOP] {
        record.set_finish(slots.text(stop));
        record.terminal |= slots.text(stop).is_some();
    }
    record.content.visible =
        [NOVA_TEXT, NOVA_INPUT, PLAIN_TEXT].iter().map(|text| slots.length(*text)).sum::<u64>()
            + u64::from(slots.some(NOVA_TOOL));
    record.content.hidden = slots.length(NOVA_REASONING);
    record.count(&Usage::of([
        (Count::Prompt, slots.count(PLAIN_PROMPT)),
        (Count::Completion, slots.count(PLAIN_COMPLETION)),
    ]));
    note_usage(event, record);
    if event.document {
        record.content = crate::record::Content::default();
    }
}
