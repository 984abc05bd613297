//! The one table of names for counts. Every dialect reads all of them: servers
//! copy each other's APIs, and mix them.

use crate::json::{Slot, Slots};
use crate::usage::{Amount, Count, PARTED, Usage, sum};
use crate::wire::{COMMON, fold, value};

crate::wire::rows! { NAMES from COMMON.len(), {
    // The whole prompt.
    PROMPT = value("\
        @prompt_tokens @promptTokens @PromptTokens @promptTokenCount @prompt_token_count \
        @total_input_tokens");
    // The whole prompt, or only what came from no cache: other names beside it tell.
    INPUT = value("\
        @input_tokens @inputTokens @inputTokenCount @input_token_count @tokens.input_tokens \
        @prompt_n");
    COMPLETION = value("\
        @completion_tokens @completionTokens @CompletionTokens @candidatesTokenCount @candidates_token_count \
        @responseTokenCount @response_token_count @generation_token_count");
    OUTPUT = value("\
        @output_tokens @outputTokens @outputTokenCount @output_token_count \
        @total_output_tokens @tokens.output_tokens @predicted_n");
    TOTAL = value("@total_tokens @totalTokens @TotalTokens @totalTokenCount @total_token_count");
    // Parts of the prompt by the names of those who count them inside it.
    CACHED = value("\
        @prompt_tokens_details.cached_tokens @input_tokens_details.cached_tokens \
        @input_token_details.cached_tokens @prompt_token_details.cached_tokens \
        @inputTokensDetails.cachedTokens @inputTokenDetails.cacheReadTokens");
    CACHE_HIT = value("\
        @prompt_cache_hit_tokens @cached_tokens @cachedTokens @cachedContentTokenCount \
        @cached_content_token_count @total_cached_tokens @cached_input_tokens \
        @cachedInputTokens @cached_prompt_tokens");
    CACHE_STORED = value("\
        @prompt_tokens_details.cache_write_tokens \
        @prompt_tokens_details.cache_creation_tokens \
        @prompt_tokens_details.cached_creation_tokens \
        @prompt_tokens_details.cache_creation_input_tokens \
        @input_tokens_details.cache_write_tokens \
        @input_tokens_details.cache_creation_tokens @cache_write_tokens");
    // And by those of who count them beside it.
    CACHE_READ = value("\
        @cache_read_input_tokens @cacheReadInputTokens @cacheReadInputTokenCount \
        @cache_read_input_token_count @cache_read_tokens @cache_n");
    CACHE_WRITE = value("\
        @cache_creation_input_tokens @cacheWriteInputTokens @cacheWriteInputTokenCount \
        @cache_write_input_tokens @cache_write_input_token_count @cacheCreationInputTokens");
    WRITE_SHORT = value("@cache_creation.ephemeral_5m_input_tokens");
    WRITE_LONG = value("@cache_creation.ephemeral_1h_input_tokens");
    REASONED = value("\
        @completion_tokens_details.reasoning_tokens @output_tokens_details.reasoning_tokens \
        @output_tokens_details.thinking_tokens @output_token_details.reasoning_tokens \
        @outputTokensDetails.reasoningTokens");
    REASONED_TOP = value("\
        @reasoning_tokens @reasoningTokens @reasoning_output_tokens @thinking_tokens");
    // By the names of those who count it beside the completion.
    THOUGHTS = value("\
        @thoughtsTokenCount @thoughts_token_count @total_thought_tokens \
        @total_reasoning_tokens");
    TOOLS = value("@toolUsePromptTokenCount @tool_use_prompt_token_count @total_tool_use_tokens");
    AUDIO_PROMPT = value("\
        @prompt_tokens_details.audio_tokens @input_tokens_details.audio_tokens \
        @input_token_details.audio_tokens");
    AUDIO_COMPLETION = value("\
        @completion_tokens_details.audio_tokens @output_tokens_details.audio_tokens \
        @output_token_details.audio_tokens");
    CACHED_AUDIO = value("\
        @prompt_tokens_details.cached_tokens_details.audio_tokens \
        @input_tokens_details.cached_tokens_details.audio_tokens \
        @input_token_details.cached_tokens_details.audio_tokens");
    IMAGE_PROMPT = value("\
        @prompt_tokens_details.image_tokens @input_tokens_details.image_tokens \
        @input_token_details.image_tokens");
    CACHED_IMAGE = value("\
        @prompt_tokens_details.cached_tokens_details.image_tokens \
        @input_tokens_details.cached_tokens_details.image_tokens \
        @input_token_details.cached_tokens_details.image_tokens");
    IMAGE_COMPLETION = value("\
        @completion_tokens_details.image_tokens @output_tokens_details.image_tokens \
        @output_token_details.image_tokens");
    // Text is what is left; it tells whether anything else is.
    TEXT_PROMPT = value("\
        @prompt_tokens_details.text_tokens @input_tokens_details.text_tokens \
        @input_token_details.text_tokens");
    CACHED_TEXT = value("\
        @prompt_tokens_details.cached_tokens_details.text_tokens \
        @input_tokens_details.cached_tokens_details.text_tokens \
        @input_token_details.cached_tokens_details.text_tokens");
    TEXT_COMPLETION = value("\
        @completion_tokens_details.text_tokens @output_tokens_details.text_tokens \
        @output_token_details.text_tokens");
    PROMPT_DETAIL = fold("\
        @promptTokensDetails[] @promptTokenDetails[] @prompt_tokens_details[] \
        @input_tokens_by_modality[]", fold_prompt_detail);
    PROMPT_KIND = value("\
        @promptTokensDetails[].modality @promptTokenDetails[].modality \
        @prompt_tokens_details[].modality @input_tokens_by_modality[].modality");
    PROMPT_COUNT = value("\
        @promptTokensDetails[].tokenCount @promptTokenDetails[].tokenCount \
        @prompt_tokens_details[].token_count @input_tokens_by_modality[].tokens");
    PROMPT_AUDIO = value("\
        @promptTokensDetails.~audio @promptTokenDetails.~audio \
        @prompt_tokens_details.~audio @input_tokens_by_modality.~audio");
    PROMPT_IMAGE = value("\
        @promptTokensDetails.~image @promptTokenDetails.~image \
        @prompt_tokens_details.~image @input_tokens_by_modality.~image");
    PROMPT_LISTED = value("\
        @promptTokensDetails.~listed @promptTokenDetails.~listed \
        @prompt_tokens_details.~listed @input_tokens_by_modality.~listed");
    CACHE_DETAIL = fold("\
        @cacheTokensDetails[] @cache_tokens_details[] @cached_tokens_by_modality[]",
        fold_cache_detail);
    CACHE_KIND = value("\
        @cacheTokensDetails[].modality @cache_tokens_details[].modality \
        @cached_tokens_by_modality[].modality");
    CACHE_COUNT = value("\
        @cacheTokensDetails[].tokenCount @cache_tokens_details[].token_count \
        @cached_tokens_by_modality[].tokens");
    CACHE_AUDIO = value("\
        @cacheTokensDetails.~audio @cache_tokens_details.~audio \
        @cached_tokens_by_modality.~audio");
    CACHE_IMAGE = value("\
        @cacheTokensDetails.~image @cache_tokens_details.~image \
        @cached_tokens_by_modality.~image");
    CACHE_LISTED = value("\
        @cacheTokensDetails.~listed @cache_tokens_details.~listed \
        @cached_tokens_by_modality.~listed");
    OUTPUT_DETAIL = fold("\
        @candidatesTokensDetails[] @responseTokensDetails[] @candidates_tokens_details[] \
        @output_tokens_by_modality[]", fold_output_detail);
    OUTPUT_KIND = value("\
        @candidatesTokensDetails[].modality @responseTokensDetails[].modality \
        @candidates_tokens_details[].modality @output_tokens_by_modality[].modality");
    OUTPUT_COUNT = value("\
        @candidatesTokensDetails[].tokenCount @responseTokensDetails[].tokenCount \
        @candidates_tokens_details[].token_count @output_tokens_by_modality[].tokens");
    OUTPUT_AUDIO = value("\
        @candidatesTokensDetails.~audio @responseTokensDetails.~audio \
        @candidates_tokens_details.~audio @output_tokens_by_modality.~audio");
    OUTPUT_IMAGE = value("\
        @candidatesTokensDetails.~image @responseTokensDetails.~image \
        @candidates_tokens_details.~image @output_tokens_by_modality.~image");
    OUTPUT_LISTED = value("\
        @candidatesTokensDetails.~listed @responseTokensDetails.~listed \
        @candidates_tokens_details.~listed @output_tokens_by_modality.~listed");
    BILLED_INPUT = value("@billed_units.input_tokens");
    BILLED_OUTPUT = value("@billed_units.output_tokens");
    SEARCHES = value("@billed_units.search_units");
    SECONDS = value("@seconds");
    KIND = value("@type");
    TIER = value("@service_tier @serviceTier @trafficType @traffic_type");
    COST = value("@cost @estimated_cost");
    COST_TOTAL = value("@cost.total_cost");
    COST_TICKS = value("@cost_in_usd_ticks");
    COST_UPSTREAM = value("@cost_details.upstream_inference_cost");
    OWN_KEY = value("@is_byok");
    PROMPT_RATE = value("@prompt_per_second");
    PREDICTED_RATE = value("@predicted_per_second @tokens_per_second");
    PROMPT_TIME = value("@prompt_time");
    COMPLETION_TIME = value("@completion_time");
    FIRST_TIME = value("@time_to_first_token @time_to_first_token_seconds");
    // Steps of one answer, each with counts of its own (spec 6.3).
    STEPS = value("@iterations");
    STEP = fold("@iterations[]", fold_step);
    STEP_INPUT = value("@iterations[].input_tokens");
    STEP_OUTPUT = value("@iterations[].output_tokens");
    STEP_READ = value("@iterations[].cache_read_input_tokens");
    STEP_WRITE = value("@iterations[].cache_creation_input_tokens");
    SUM_INPUT = value("@iterations.~input");
    SUM_OUTPUT = value("@iterations.~output");
    SUM_READ = value("@iterations.~read");
    SUM_WRITE = value("@iterations.~write");
} }

fn fold_step(slots: &mut Slots, _: u64) {
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

fn fold_prompt_detail(slots: &mut Slots, _: u64) {
    fold_detail(slots, PROMPT_KIND, PROMPT_COUNT, [PROMPT_AUDIO, PROMPT_IMAGE, PROMPT_LISTED]);
}

fn fold_cache_detail(slots: &mut Slots, _: u64) {
    fold_detail(slots, CACHE_KIND, CACHE_COUNT, [CACHE_AUDIO, CACHE_IMAGE, CACHE_LISTED]);
}

fn fold_output_detail(slots: &mut Slots, _: u64) {
    fold_detail(slots, OUTPUT_KIND, OUTPUT_COUNT, [OUTPUT_AUDIO, OUTPUT_IMAGE, OUTPUT_LISTED]);
}

fn fold_detail(slots: &mut Slots, kind: Slot, part: Slot, [audio, image, listed]: [Slot; 3]) {
    let Some(count) = slots.count(part) else { return };
    let is = |name: &[u8]| slots.bytes(kind).is_some_and(|kind| kind.eq_ignore_ascii_case(name));
    let (is_audio, is_image) = (is(b"AUDIO"), is(b"IMAGE"));
    if is_audio || is_image {
        slots.add(if is_audio { audio } else { image }, count);
    }
    slots.add(listed, count);
}

/// An object at a place has ended: takes what its members say.
pub(crate) fn gather(slots: &mut Slots, place: u64) {
    let usage = gathered(slots);
    slots.set_usage(usize::try_from(place).unwrap_or(0), usage);
}

fn gathered(slots: &Slots) -> Usage {
    let mut usage = Usage::default();
    let steps = slots.filled(STEPS);
    for name in slots.present(FIRST, SUM_WRITE) {
        let Some(kind) = kind(name) else { continue };
        // With steps their sums hold.
        if steps && matches!(name, INPUT | OUTPUT | CACHE_READ | CACHE_WRITE) {
            continue;
        }
        let Some(count) = slots.count(name) else { continue };
        if usage.get(kind).is_none_or(|old| old == 0 && count > 0) {
            usage.set(kind, Some(count));
        }
    }
    if usage.get(Count::CacheWrite).is_none() {
        let (short, long) = (slots.count(WRITE_SHORT), slots.count(WRITE_LONG));
        usage.set(Count::CacheWrite, sum(short, long));
    }
    part_of_nothing(slots, &mut usage);
    usage.reasoning_apart = slots.count(THOUGHTS).is_some();
    usage.cache_apart = has_cache_apart(slots, &usage);
    if slots.present(SEARCHES, FIRST_TIME).next().is_some() {
        amounts(slots, &mut usage);
    }
    usage
}

/// Where the parts that are named make up their whole, the others are none of it; else
/// those are unknown. What tools put into a prompt is in none of its parts.
fn part_of_nothing(slots: &Slots, usage: &mut Usage) {
    use Count::{
        AudioCompletion, AudioPrompt, Cached, CachedAudio, CachedImage, Completion,
        ImageCompletion, ImagePrompt, Prompt,
    };
    for (whole, [text, listed], parts) in [
        (Prompt, [TEXT_PROMPT, PROMPT_LISTED], [AudioPrompt, ImagePrompt]),
        (Cached, [CACHED_TEXT, CACHE_LISTED], [CachedAudio, CachedImage]),
        (Completion, [TEXT_COMPLETION, OUTPUT_LISTED], [AudioCompletion, ImageCompletion]),
    ] {
        let parted = || parts.iter().map(|part| usage.get(*part));
        let named = slots.count(listed).or_else(|| parted().fold(slots.count(text), sum));
        if named.is_some() && named == usage.get(whole) {
            for part in parts.into_iter().filter(|part| PARTED >> *part as u32 & 1 != 0) {
                if usage.get(part).is_none() {
                    usage.set(part, Some(0));
                }
            }
        }
    }
    if usage.known(Count::ToolPrompt) > 0 {
        usage.set(ImagePrompt, None);
    }
}

/// What a name counts. Of several names for one kind the first with a positive
/// count wins, in the order of the table.
fn kind(name: Slot) -> Option<Count> {
    Some(match name {
        PROMPT | INPUT | SUM_INPUT => Count::Prompt,
        COMPLETION | OUTPUT | SUM_OUTPUT => Count::Completion,
        CACHED | CACHE_HIT | CACHE_READ | SUM_READ => Count::Cached,
        CACHE_STORED | CACHE_WRITE | SUM_WRITE => Count::CacheWrite,
        WRITE_LONG => Count::LongCacheWrite,
        REASONED | REASONED_TOP | THOUGHTS => Count::Reasoning,
        TOTAL => Count::Total,
        TOOLS => Count::ToolPrompt,
        AUDIO_PROMPT | PROMPT_AUDIO => Count::AudioPrompt,
        AUDIO_COMPLETION | OUTPUT_AUDIO => Count::AudioCompletion,
        CACHED_AUDIO | CACHE_AUDIO => Count::CachedAudio,
        IMAGE_PROMPT | PROMPT_IMAGE => Count::ImagePrompt,
        CACHED_IMAGE | CACHE_IMAGE => Count::CachedImage,
        IMAGE_COMPLETION | OUTPUT_IMAGE => Count::ImageCompletion,
        BILLED_INPUT => Count::BilledPrompt,
        BILLED_OUTPUT => Count::BilledCompletion,
        _ => return None,
    })
}

/// Whether the prompt leaves the cache out: the total says so, or else the names.
fn has_cache_apart(slots: &Slots, usage: &Usage) -> bool {
    let (prompt, completion) = (usage.known(Count::Prompt), usage.known(Count::Completion));
    let cache = usage.known(Count::Cached) + usage.known(Count::CacheWrite);
    let total = usage.get(Count::Total);
    if cache > 0 && total == Some(prompt + completion + cache) {
        return true;
    }
    let whole = slots.count(PROMPT).is_some_and(|count| count > 0)
        || (slots.some(CACHED) && total == Some(prompt + completion));
    let named = slots.some(CACHE_READ) || slots.some(CACHE_WRITE);
    named && !whole
}

fn amounts(slots: &Slots, usage: &mut Usage) {
    // `usage.type` tells tokens from time; servers that copy leave it out.
    if !slots.is(KIND, "tokens") {
        usage.set_amount(Amount::Audio, slots.number(SECONDS));
    }
    usage.set_amount(Amount::Cost, cost(slots));
    for (kind, name) in [
        (Amount::SearchUnits, SEARCHES),
        (Amount::PrefillRate, PROMPT_RATE),
        (Amount::DecodeRate, PREDICTED_RATE),
        (Amount::PrefillTime, PROMPT_TIME),
        (Amount::DecodeTime, COMPLETION_TIME),
        (Amount::FirstTokenTime, FIRST_TIME),
    ] {
        usage.set_amount(kind, slots.number(name));
    }
}

/// What the call cost in US dollars. With an own key `cost` is only the fee of
/// OpenRouter; what its provider charges is beside it. Other calls repeat the
/// cost there. xAI counts in ticks, of which a dollar has 10^10
/// (docs.x.ai, "Cost tracking").
fn cost(slots: &Slots) -> Option<f64> {
    let upstream = slots.number(COST_UPSTREAM);
    let ticks = slots.number(COST_TICKS).map(|ticks| ticks / 1e10);
    let own = slots.number(COST).or_else(|| slots.number(COST_TOTAL)).or(ticks);
    match (own, upstream) {
        (Some(own), Some(upstream)) if slots.is_true(OWN_KEY) => Some(own + upstream),
        (Some(0.0) | None, Some(upstream)) => Some(upstream),
        (own, _) => own,
    }
}
