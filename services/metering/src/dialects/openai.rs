//! OpenAI chat and legacy completions, and every server that copies them
//! (spec 5.1 to 5.3): Azure, Groq, DeepSeek, xAI, OpenRouter, Mistral, Gemini
//! and Ollama compatibility, Fireworks, Together, Perplexity, vLLM, SGLang,
//! llama.cpp, LM Studio, TGI.

use crate::dialect::Operation;
use crate::json::Slots;
use crate::reading::Tokens;
use crate::record::{Count, Record, merge_amount};
use crate::target::{Route, Target};
use crate::wire::{
    Event, Framing, OBJECT, Wire, fold, length, note_error, plain_tokens, total, value,
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
    // What the folds leave: content of the event, and its lowest choice.
    VISIBLE = value("choices.~visible");
    HIDDEN = value("choices.~hidden");
    FINISH = value("choices.~finish");
    FINISH_INDEX = value("choices.~finish_index");
    LOWEST = value("choices.~lowest");

    PROMPT = value("usage.prompt_tokens");
    COMPLETION = value("usage.completion_tokens");
    TOTAL = value("usage.total_tokens");
    CACHED = value("usage.prompt_tokens_details.cached_tokens");
    CACHE_WRITE = value("usage.prompt_tokens_details.cache_write_tokens");
    AUDIO_PROMPT = value("usage.prompt_tokens_details.audio_tokens");
    CACHE_HIT = value("usage.prompt_cache_hit_tokens");
    REASONED = value("usage.completion_tokens_details.reasoning_tokens");
    REASONED_TOP = value("usage.reasoning_tokens");
    AUDIO_COMPLETION = value("usage.completion_tokens_details.audio_tokens");
    USAGE_TIER = value("usage.service_tier");
    COST = value("usage.cost");
    COST_TOTAL = value("usage.cost.total_cost");
    COST_TICKS = value("usage.cost_in_usd_ticks");
    PROMPT_TIME = value("usage.prompt_time");
    COMPLETION_TIME = value("usage.completion_time");

    GROQ_PROMPT = value("x_groq.usage.prompt_tokens");
    GROQ_COMPLETION = value("x_groq.usage.completion_tokens");
    GROQ_TOTAL = value("x_groq.usage.total_tokens");
    GROQ_CACHED = value("x_groq.usage.prompt_tokens_details.cached_tokens");
    GROQ_REASONED = value("x_groq.usage.completion_tokens_details.reasoning_tokens");
    GROQ_PROMPT_TIME = value("x_groq.usage.prompt_time");
    GROQ_COMPLETION_TIME = value("x_groq.usage.completion_time");

    CACHE_N = value("timings.cache_n");
    PROMPT_N = value("timings.prompt_n");
    PREDICTED_N = value("timings.predicted_n");
    PROMPT_RATE = value("timings.prompt_per_second");
    PREDICTED_RATE = value("timings.predicted_per_second");

    STATS_RATE = value("stats.tokens_per_second");
    STATS_FIRST = value("stats.time_to_first_token");
} }

pub(crate) static CHAT: Wire = Wire {
    id: "openai-chat",
    operation: Operation::Chat,
    route: |target| {
        target
            .ends("/chat/completions")
            .then(|| Route { deployment: target.after("/deployments/"), ..Route::default() })
    },
    shape: &SHAPE,
    event,
    tokens,
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
    if slots.text(CHOICE_FINISH).is_some()
        && slots.count(FINISH_INDEX).is_none_or(|lowest| index < lowest)
    {
        slots.copy(CHOICE_FINISH, FINISH);
        slots.set(FINISH_INDEX, crate::json::Value::Integer(index));
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
    // A content list whose parts are of no kind that is known.
    if visible + hidden == 0 && slots.filled(CONTENT) {
        visible = 1;
    }
    (visible, hidden)
}

pub(super) fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.set_model(slots.text(MODEL));
    record.set_id(slots.text(ID));
    if slots.some(TIER) || slots.some(USAGE_TIER) {
        record.set_tier(slots.text(TIER).or_else(|| slots.text(USAGE_TIER)));
    }
    record.content.visible = slots.count(VISIBLE).unwrap_or(0);
    record.content.hidden = slots.count(HIDDEN).unwrap_or(0);
    if slots.some(FINISH) {
        record.set_finish_of(slots.count(FINISH_INDEX).unwrap_or(0), slots.text(FINISH));
        record.terminal = true;
        if slots.is(FINISH, "error") {
            record.fail(error_or_plain(slots));
        }
    }
    // The rows of counts come last: most events have none of them.
    if slots.any_from(PROMPT) {
        usage(slots, record);
        timings(slots, record);
    }
}

/// A finish value that means error names no kind, unless something else does.
fn error_or_plain(slots: &Slots) -> Option<&[u8]> {
    slots.text(crate::wire::ERROR_TYPE)
}

/// Rules U1, U2, U4, U5, U7, U8.
pub(super) fn usage(slots: &Slots, record: &mut Record) {
    let counts = &mut record.counts;
    for (kind, slot) in [
        (Count::Prompt, GROQ_PROMPT),
        (Count::Completion, GROQ_COMPLETION),
        (Count::Total, GROQ_TOTAL),
        (Count::Cached, GROQ_CACHED),
        (Count::Reasoning, GROQ_REASONED),
        (Count::Prompt, PROMPT),
        (Count::Completion, COMPLETION),
        (Count::Total, TOTAL),
        (Count::Cached, CACHED),
        (Count::CachedElsewhere, CACHE_HIT),
        (Count::CacheWrite, CACHE_WRITE),
        (Count::AudioPrompt, AUDIO_PROMPT),
        (Count::AudioCompletion, AUDIO_COMPLETION),
        (Count::Reasoning, REASONED),
        (Count::ReasoningElsewhere, REASONED_TOP),
        (Count::TimedCached, CACHE_N),
        (Count::TimedPrompt, PROMPT_N),
        (Count::TimedCompletion, PREDICTED_N),
    ] {
        counts.merge(kind, slots.count(slot));
    }
    if let Some(completion) = slots.count(COMPLETION) {
        match slots.count(LOWEST) {
            Some(index) => record.set_choice(index, completion),
            None => record.forget_choices(),
        }
    }
    let ticks = slots.number(COST_TICKS).map(|ticks| ticks / 1e10);
    let cost = slots.number(COST).or_else(|| slots.number(COST_TOTAL)).or(ticks);
    merge_amount(&mut record.cost, cost);
}

/// Speeds of llama.cpp, Groq and LM Studio.
fn timings(slots: &Slots, record: &mut Record) {
    let per = |count: Option<u64>, seconds: Option<f64>| {
        let rate = count? as f64 / seconds.filter(|seconds| *seconds > 0.0)?;
        (rate > 0.0).then_some(rate)
    };
    let positive = |slot| slots.number(slot).filter(|rate| *rate > 0.0);
    let prompt = slots.count(PROMPT);
    let fresh = prompt.map(|prompt| prompt.saturating_sub(slots.count(CACHED).unwrap_or(0)));
    let groq = slots
        .count(GROQ_PROMPT)
        .map(|prompt| prompt.saturating_sub(slots.count(GROQ_CACHED).unwrap_or(0)));
    let prefill = positive(PROMPT_RATE)
        .or_else(|| per(fresh, slots.number(PROMPT_TIME)))
        .or_else(|| per(groq, slots.number(GROQ_PROMPT_TIME)))
        .or_else(|| per(fresh, slots.number(STATS_FIRST)));
    let decode = positive(PREDICTED_RATE)
        .or_else(|| per(slots.count(COMPLETION), slots.number(COMPLETION_TIME)))
        .or_else(|| per(slots.count(GROQ_COMPLETION), slots.number(GROQ_COMPLETION_TIME)))
        .or_else(|| positive(STATS_RATE));
    record.speeds.prefill = prefill.or(record.speeds.prefill);
    record.speeds.decode = decode.or(record.speeds.decode);
}

/// Rules U3, U4, U5, U6.
pub(super) fn tokens(record: &Record) -> Tokens {
    let get = |kind| record.counts.get(kind);
    let mut tokens = plain_tokens(record);
    tokens.cached_prompt = get(Count::Cached).or(get(Count::CachedElsewhere));
    tokens.reasoning = get(Count::Reasoning).or(get(Count::ReasoningElsewhere));
    tokens.completion = record.sum_of_choices().or(tokens.completion);
    let reported = get(Count::Total);
    if let (Some(prompt), Some(completion), Some(reasoning @ 1..), Some(reported)) =
        (tokens.prompt, tokens.completion, tokens.reasoning, reported)
        && prompt.checked_add(completion).and_then(|sum| sum.checked_add(reasoning))
            == Some(reported)
    {
        tokens.completion = Some(completion + reasoning);
    }
    if (tokens.prompt.is_none() || tokens.completion.is_none())
        && let (Some(prompt), Some(completion)) =
            (get(Count::TimedPrompt), get(Count::TimedCompletion))
    {
        let cached = get(Count::TimedCached);
        tokens.prompt = tokens.prompt.or(Some(prompt.saturating_add(cached.unwrap_or(0))));
        tokens.completion = tokens.completion.or(Some(completion));
        tokens.cached_prompt = tokens.cached_prompt.or(cached);
    }
    tokens.total = total(tokens.prompt, tokens.completion, reported);
    tokens
}

/// Whether this is an answer of the OpenAI completions API.
pub(super) fn is_text_completion(slots: &Slots) -> bool {
    slots.is(OBJECT, "text_completion")
}
