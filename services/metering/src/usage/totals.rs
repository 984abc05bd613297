//! From raw counts to the counts of a reading (spec 2 and 2.1): parts are inside
//! their totals whatever the server made of them.

use std::time::Duration;

use crate::reading::Tokens;
use crate::record::Record;
use crate::usage::{Amount, Count, MAX_COUNT, Usage, sum};

/// The counts of a response.
pub(crate) fn tokens(record: &Record) -> Tokens {
    let own = record.own_usage();
    let mut tokens = totals(&own, || record.is_gemini());
    if record.spare.has_counts() {
        fill(&mut tokens, &totals(&record.spare, || false));
        tokens.total = total(&tokens, own.get(Count::Total));
    }
    if record.has_content() && tokens.completion == Some(0) {
        forget_zeros(&mut tokens);
    }
    tokens
}

/// Counts of answers without a completion: prompt and total are the same.
pub(crate) fn embedded(record: &Record) -> Tokens {
    let mut tokens = tokens(record);
    tokens.prompt = tokens.prompt.or(tokens.total);
    tokens.total = tokens.total.or(tokens.prompt);
    // Servers with one form for all answers write a 0 (vLLM).
    tokens.completion = tokens.completion.filter(|count| *count > 0);
    tokens
}

/// The counts of a set; `gemini` if that is who answers.
pub(crate) fn totals(usage: &Usage, gemini: impl Fn() -> bool) -> Tokens {
    let get = |kind| usage.get(kind);
    let mut tokens = Tokens {
        prompt: prompt(usage),
        cached_prompt: get(Count::Cached),
        cache_write: get(Count::CacheWrite),
        cache_write_1h: get(Count::LongCacheWrite).min(get(Count::CacheWrite)),
        completion: None,
        reasoning: get(Count::Reasoning),
        audio_prompt: get(Count::AudioPrompt),
        audio_completion: get(Count::AudioCompletion),
        cached_audio_prompt: get(Count::CachedAudio),
        image_prompt: get(Count::ImagePrompt),
        cached_image_prompt: get(Count::CachedImage),
        image_completion: get(Count::ImageCompletion),
        total: None,
        billed_prompt: get(Count::BilledPrompt),
        billed_completion: get(Count::BilledCompletion),
        search_units: usage.amount(Amount::SearchUnits),
        billed_audio: usage
            .amount(Amount::Audio)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        upstream_cost_usd: usage.amount(Amount::Cost),
        images: None,
        characters: None,
    };
    tokens.completion = completion(usage, tokens.prompt, gemini);
    tokens.total = total(&tokens, get(Count::Total));
    tokens
}

/// The whole prompt. What came from a cache is a part of it: if it is said to be
/// more than all, it was counted apart.
fn prompt(usage: &Usage) -> Option<u64> {
    let prompt = sum(usage.get(Count::Prompt), usage.get(Count::ToolPrompt))?;
    let (cached, write) = (usage.get(Count::Cached), usage.get(Count::CacheWrite));
    let cache = sum(cached, write);
    if usage.cache_apart || cache.unwrap_or(0) > prompt {
        return sum(Some(prompt), cache);
    }
    Some(prompt)
}

/// The whole completion. The reasoning is a part of it, unless names or the total
/// say that it was counted apart, or it is more than all.
fn completion(usage: &Usage, prompt: Option<u64>, gemini: impl Fn() -> bool) -> Option<u64> {
    let (completion, reasoning) = (usage.get(Count::Completion), usage.get(Count::Reasoning));
    let both = sum(completion, reasoning);
    let (Some(part), Some(prompt)) = (completion, prompt) else {
        return if usage.reasoning_apart { both } else { completion };
    };
    let rest = usage.get(Count::Total).and_then(|total| total.checked_sub(prompt));
    let reasoning = reasoning.unwrap_or(0);
    if reasoning > 0 {
        let inside = rest == Some(part);
        let apart = usage.reasoning_apart || reasoning > part || rest == both;
        return if apart && !inside { both } else { completion };
    }
    // Gemini's thoughts may be in the total only.
    rest.filter(|rest| *rest > part && gemini()).or(completion)
}

/// Takes what is unknown from a second source; the prompt and its parts are one
/// statement.
fn fill(tokens: &mut Tokens, spare: &Tokens) {
    let silent = tokens.cached_prompt.is_none() && tokens.cache_write.is_none();
    if tokens.prompt.is_none() || (silent && spare.prompt >= tokens.prompt) {
        if spare.prompt > tokens.prompt {
            tokens.image_prompt = spare.image_prompt;
        }
        tokens.prompt = spare.prompt.or(tokens.prompt);
        tokens.cached_prompt = spare.cached_prompt.or(tokens.cached_prompt);
        tokens.cache_write = spare.cache_write.or(tokens.cache_write);
        tokens.cache_write_1h = spare.cache_write_1h.or(tokens.cache_write_1h);
    }
    let counted = tokens.completion.filter(|count| *count > 0);
    tokens.completion = counted.or(spare.completion).or(tokens.completion);
}

/// Prompt and completion; a total that the server put higher stays, since it may
/// hold what has no name of its own.
fn total(tokens: &Tokens, reported: Option<u64>) -> Option<u64> {
    let (Some(prompt), Some(completion)) = (tokens.prompt, tokens.completion) else {
        return reported;
    };
    prompt.checked_add(completion).filter(|sum| *sum <= MAX_COUNT).max(reported)
}

/// Content was generated, so a completion of 0 was not counted; neither was the input
/// if its count is 0 too. Parts of 0 of a positive prompt are counts: what a stream
/// begins with states the input only.
fn forget_zeros(tokens: &mut Tokens) {
    let positive = |count: &u64| *count > 0;
    tokens.completion = tokens.completion.filter(positive);
    tokens.reasoning = tokens.reasoning.filter(positive);
    tokens.image_completion = tokens.image_completion.filter(positive);
    tokens.total = tokens.total.filter(positive);
    if tokens.prompt.is_none_or(|prompt| prompt == 0) {
        tokens.prompt = None;
        tokens.cached_prompt = tokens.cached_prompt.filter(positive);
        tokens.cache_write = tokens.cache_write.filter(positive);
        tokens.cache_write_1h = tokens.cache_write_1h.filter(positive);
        tokens.cached_audio_prompt = tokens.cached_audio_prompt.filter(positive);
        tokens.image_prompt = tokens.image_prompt.filter(positive);
        tokens.cached_image_prompt = tokens.cached_image_prompt.filter(positive);
    }
}
