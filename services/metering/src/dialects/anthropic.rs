//! Anthropic Messages, direct, on Vertex, on Foundry and on the servers that
//! copy them (spec 6). Input counts leave cache reads and writes out.

use crate::dialect::Operation;
use crate::json::{Slot, Slots};
use crate::reading::Tokens;
use crate::record::{Count, Record};
use crate::target::{Ask, Route, Target};
use crate::wire::{
    Event, Framing, TYPE, Wire, fold, length, note_error, plain_tokens, total, value,
};

crate::wire::shape! { SHAPE ROWS {
    ID = value("id");
    MODEL = value("model");
    STOP = value("stop_reason");
    MESSAGE_ID = value("message.id");
    MESSAGE_MODEL = value("message.model");
    MESSAGE_STOP = value("message.stop_reason");
    DELTA_STOP = value("delta.stop_reason");

    TEXT = length("delta.text");
    THINKING = length("delta.thinking");
    JSON = length("delta.partial_json");
    DELTA_TYPE = value("delta.type");
    BLOCK_TYPE = value("content_block.type");
    BLOCK_TEXT = length("content_block.text");
    BLOCK_THINKING = length("content_block.thinking");
    BLOCK_DATA = length("content_block.data");

    INPUT = value("usage.input_tokens");
    OUTPUT = value("usage.output_tokens");
    CACHE_READ = value("usage.cache_read_input_tokens");
    CACHE_WRITE = value("usage.cache_creation_input_tokens");
    WRITE_SHORT = value("usage.cache_creation.ephemeral_5m_input_tokens");
    WRITE_LONG = value("usage.cache_creation.ephemeral_1h_input_tokens");
    THOUGHT = value("usage.output_tokens_details.thinking_tokens");
    TIER = value("usage.service_tier");
    ITERATIONS = value("usage.iterations");
    ITERATION = fold("usage.iterations[]", fold_iteration);
    STEP_INPUT = value("usage.iterations[].input_tokens");
    STEP_OUTPUT = value("usage.iterations[].output_tokens");
    STEP_READ = value("usage.iterations[].cache_read_input_tokens");
    STEP_WRITE = value("usage.iterations[].cache_creation_input_tokens");
    SUM_INPUT = value("usage.iterations.~input");
    SUM_OUTPUT = value("usage.iterations.~output");
    SUM_READ = value("usage.iterations.~read");
    SUM_WRITE = value("usage.iterations.~write");

    START_INPUT = value("message.usage.input_tokens");
    START_OUTPUT = value("message.usage.output_tokens");
    START_READ = value("message.usage.cache_read_input_tokens");
    START_WRITE = value("message.usage.cache_creation_input_tokens");
    START_WRITE_SHORT = value("message.usage.cache_creation.ephemeral_5m_input_tokens");
    START_WRITE_LONG = value("message.usage.cache_creation.ephemeral_1h_input_tokens");
    START_THOUGHT = value("message.usage.output_tokens_details.thinking_tokens");
    START_TIER = value("message.usage.service_tier");
} }

pub(crate) static MESSAGES: Wire = Wire {
    id: "anthropic-messages",
    operation: Operation::Chat,
    route: messages_route,
    shape: &SHAPE,
    event,
    tokens,
    framing: Framing::Sse,
    done: false,
};

pub(crate) static COUNT_TOKENS: Wire = Wire {
    id: "anthropic-count-tokens",
    operation: Operation::CountTokens,
    route: |target| {
        let counts = target.ends("/messages/count_tokens")
            || target.ends("/publishers/anthropic/models/count-tokens:rawPredict");
        counts.then(|| Route { ask: Ask::No, ..Route::default() })
    },
    // A count is no consumption: only errors are read.
    event: note_error,
    tokens: |_| Tokens::default(),
    ..MESSAGES
};

fn messages_route(target: &Target<'_>) -> Option<Route> {
    let vertex = "/publishers/anthropic/models/";
    if let Some(model) = target.between(vertex, ":streamRawPredict") {
        return Some(Route { model: Some(model), ask: Ask::Yes, ..Route::default() });
    }
    if let Some(model) = target.between(vertex, ":rawPredict") {
        return Some(Route { model: Some(model), ..Route::default() });
    }
    // Threads of the OpenAI Assistants API have messages too.
    let threads = target.path().rsplit('/').nth(2) == Some("threads");
    (target.ends("/messages") && !threads).then(Route::default)
}

fn fold_iteration(slots: &mut Slots, _: u64) {
    for (part, sum) in [
        (STEP_INPUT, SUM_INPUT),
        (STEP_OUTPUT, SUM_OUTPUT),
        (STEP_READ, SUM_READ),
        (STEP_WRITE, SUM_WRITE),
    ] {
        if let Some(count) = slots.count(part) {
            slots.add(sum, count);
        }
    }
}

pub(super) fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    record.set_model(slots.text(MESSAGE_MODEL).or_else(|| slots.text(MODEL)));
    record.set_id(slots.text(MESSAGE_ID).or_else(|| slots.text(ID)));
    record.set_tier(slots.text(START_TIER));
    record.set_tier(slots.text(TIER));
    for stop in [MESSAGE_STOP, STOP, DELTA_STOP] {
        record.set_finish(slots.text(stop));
    }
    record.terminal |= slots.some(DELTA_STOP) || slots.is(TYPE, "message_stop");
    content(slots, record);
    // The rows of counts come last: most events have none of them.
    if slots.any_from(INPUT) {
        usage(slots, record);
    }
}

fn content(slots: &Slots, record: &mut Record) {
    if slots.is(TYPE, "content_block_delta") {
        record.content.visible = slots.length(TEXT) + slots.length(JSON);
        record.content.hidden = slots.length(THINKING);
    } else if slots.is(TYPE, "content_block_start") {
        let tool = ["tool_use", "server_tool_use", "mcp_tool_use"];
        let tool = tool.iter().any(|tool| slots.is(BLOCK_TYPE, tool));
        record.content.visible = slots.length(BLOCK_TEXT).max(u64::from(tool));
        record.content.hidden =
            slots.length(BLOCK_THINKING).max(u64::from(slots.filled(BLOCK_DATA)));
    }
}

fn usage(slots: &Slots, record: &mut Record) {
    // With iterations each of the four counts is the sum over all of them (6.3).
    let steps = slots.filled(ITERATIONS);
    let four = |sum: Slot, own: Slot| if steps { sum } else { own };
    for (kind, slot) in [
        (Count::Prompt, START_INPUT),
        (Count::Completion, START_OUTPUT),
        (Count::Cached, START_READ),
        (Count::CacheWrite, START_WRITE),
        (Count::CacheWriteShort, START_WRITE_SHORT),
        (Count::CacheWriteLong, START_WRITE_LONG),
        (Count::Reasoning, START_THOUGHT),
        (Count::Prompt, four(SUM_INPUT, INPUT)),
        (Count::Completion, four(SUM_OUTPUT, OUTPUT)),
        (Count::Cached, four(SUM_READ, CACHE_READ)),
        (Count::CacheWrite, four(SUM_WRITE, CACHE_WRITE)),
        (Count::CacheWriteShort, WRITE_SHORT),
        (Count::CacheWriteLong, WRITE_LONG),
        (Count::Reasoning, THOUGHT),
    ] {
        record.counts.merge(kind, slots.count(slot));
    }
}

pub(super) fn tokens(record: &Record) -> Tokens {
    let mut tokens = plain_tokens(record);
    tokens.cache_write = record.counts.get(Count::CacheWrite).or_else(|| {
        let short = record.counts.get(Count::CacheWriteShort);
        let long = record.counts.get(Count::CacheWriteLong);
        (short.is_some() || long.is_some())
            .then(|| short.unwrap_or(0).saturating_add(long.unwrap_or(0)))
    });
    tokens.prompt = with_cache(tokens.prompt, tokens.cached_prompt, tokens.cache_write);
    tokens.total = total(tokens.prompt, tokens.completion, None);
    tokens
}

/// The whole prompt where the input leaves cache reads and writes out.
pub(super) fn with_cache(fresh: Option<u64>, read: Option<u64>, write: Option<u64>) -> Option<u64> {
    fresh.map(|fresh| fresh.saturating_add(read.unwrap_or(0)).saturating_add(write.unwrap_or(0)))
}
