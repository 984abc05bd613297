//! Amazon Bedrock (spec 9.1, 9.2): Converse, and Invoke with the format of the
//! model's family inside. Inputs leave cache reads and writes out.

use crate::dialect::Operation;
use crate::dialects::anthropic;
use crate::reading::Tokens;
use crate::record::{Count, Record};
use crate::target::{Ask, Route};
use crate::wire::{Event, Framing, Wire, length, note_error, plain_tokens, total, value};

pub(crate) use converse::CONVERSE;
pub(crate) use invoke::INVOKE;

mod converse {
    use super::{
        Ask, Count, Event, Framing, Operation, Record, Route, Tokens, Wire, anthropic, length,
        note_error, plain_tokens, total, value,
    };

    crate::wire::shape! { SHAPE ROWS {
        STOP = value("stopReason");
        TIER = value("serviceTier.type");
        TEXT = length("delta.text");
        REASONING = length("delta.reasoningContent.text");
        TOOL_INPUT = length("delta.toolUse.input");
        TOOL_START = value("start.toolUse");
        INPUT = value("usage.inputTokens");
        OUTPUT = value("usage.outputTokens");
        TOTAL = value("usage.totalTokens");
        CACHE_READ = value("usage.cacheReadInputTokens");
        CACHE_WRITE = value("usage.cacheWriteInputTokens");
        CACHE_READ_OLD = value("usage.cacheReadInputTokenCount");
        CACHE_WRITE_OLD = value("usage.cacheWriteInputTokenCount");
    } }

    pub(crate) static CONVERSE: Wire = Wire {
        id: "bedrock-converse",
        operation: Operation::Chat,
        route: |target| {
            let stream = target.between("/model/", "/converse-stream");
            let ask = if stream.is_some() { Ask::Yes } else { Ask::No };
            let model = stream.or_else(|| target.between("/model/", "/converse"))?;
            Some(Route { model: Some(model), ask, ..Route::default() })
        },
        shape: &SHAPE,
        event,
        tokens,
        framing: Framing::Frames,
        done: false,
    };

    fn event(event: &Event<'_>, record: &mut Record) {
        let slots = event.slots;
        note_error(event, record);
        record.set_tier(slots.text(TIER));
        record.set_finish(slots.text(STOP));
        record.terminal |= event.name == b"messageStop";
        record.content.visible = slots.length(TEXT)
            + slots.length(TOOL_INPUT)
            + u64::from(event.name == b"contentBlockStart" && slots.some(TOOL_START));
        record.content.hidden = slots.length(REASONING);
        for (kind, slot) in [
            (Count::Prompt, INPUT),
            (Count::Completion, OUTPUT),
            (Count::Total, TOTAL),
            (Count::Cached, CACHE_READ_OLD),
            (Count::CacheWrite, CACHE_WRITE_OLD),
            (Count::Cached, CACHE_READ),
            (Count::CacheWrite, CACHE_WRITE),
        ] {
            record.counts.merge(kind, slots.count(slot));
        }
    }

    fn tokens(record: &Record) -> Tokens {
        let mut tokens = plain_tokens(record);
        tokens.prompt =
            anthropic::with_cache(tokens.prompt, tokens.cached_prompt, tokens.cache_write);
        let reported = record.counts.get(Count::Total);
        tokens.total = total(tokens.prompt, tokens.completion, reported);
        tokens
    }
}

mod invoke {
    use super::{
        Ask, Count, Event, Framing, Operation, Record, Route, Tokens, Wire, anthropic, total, value,
    };

    crate::wire::shape! { SHAPE ROWS after anthropic::ROWS {
        METRIC_INPUT = value("amazon-bedrock-invocationMetrics.inputTokenCount");
        METRIC_OUTPUT = value("amazon-bedrock-invocationMetrics.outputTokenCount");
        METRIC_READ = value("amazon-bedrock-invocationMetrics.cacheReadInputTokenCount");
        METRIC_WRITE = value("amazon-bedrock-invocationMetrics.cacheWriteInputTokenCount");
        // Llama.
        LLAMA_PROMPT = value("prompt_token_count");
        LLAMA_COMPLETION = value("generation_token_count");
        LLAMA_TEXT = crate::wire::length("generation");
    } }

    pub(crate) static INVOKE: Wire = Wire {
        id: "bedrock-invoke",
        operation: Operation::Chat,
        route: |target| {
            let stream = target.between("/model/", "/invoke-with-response-stream");
            let ask = if stream.is_some() { Ask::Yes } else { Ask::No };
            let model = stream.or_else(|| target.between("/model/", "/invoke"))?;
            Some(Route { model: Some(model), ask, ..Route::default() })
        },
        shape: &SHAPE,
        event,
        tokens,
        framing: Framing::Wrapped,
        done: false,
    };

    fn event(event: &Event<'_>, record: &mut Record) {
        let slots = event.slots;
        anthropic::event(event, record);
        if !event.document && slots.length(LLAMA_TEXT) > 0 {
            record.content.visible = slots.length(LLAMA_TEXT);
        }
        // Other families end with the stop reason or with the metrics.
        record.terminal |= slots.text(anthropic::STOP).is_some() || slots.some(METRIC_OUTPUT);
        for (kind, slot) in [
            (Count::Prompt, LLAMA_PROMPT),
            (Count::Completion, LLAMA_COMPLETION),
            (Count::MetricPrompt, METRIC_INPUT),
            (Count::MetricCompletion, METRIC_OUTPUT),
            (Count::MetricCached, METRIC_READ),
            (Count::MetricCacheWrite, METRIC_WRITE),
        ] {
            record.counts.merge(kind, slots.count(slot));
        }
        record.counts.merge(Count::MetricPrompt, event.headers.prompt);
        record.counts.merge(Count::MetricCompletion, event.headers.completion);
    }

    /// The usage of the family wins; metrics and headers fill gaps.
    fn tokens(record: &Record) -> Tokens {
        let get = |kind| record.counts.get(kind);
        let mut tokens = anthropic::tokens(record);
        let fresh = get(Count::Prompt).or(get(Count::MetricPrompt));
        tokens.cached_prompt = tokens.cached_prompt.or(get(Count::MetricCached));
        tokens.cache_write = tokens.cache_write.or(get(Count::MetricCacheWrite));
        tokens.prompt = anthropic::with_cache(fresh, tokens.cached_prompt, tokens.cache_write);
        tokens.completion = tokens.completion.or(get(Count::MetricCompletion));
        tokens.total = total(tokens.prompt, tokens.completion, None);
        tokens
    }
}
