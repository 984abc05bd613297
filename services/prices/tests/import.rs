//! LiteLLM's data as a price list.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use modash_prices::{Imported, PriceList, Request, import};

/// In LiteLLM's form, with its floats.
const DATA: &str = r#"{
  "sample_spec": { "input_cost_per_token": 0.0, "litellm_provider": "one of many" },
  "gpt-x": {
    "litellm_provider": "openai", "mode": "chat", "max_tokens": 100, "supports_vision": true,
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 2.5e-07,
    "input_cost_per_token_above_272k_tokens": 5e-06, "output_cost_per_token_above_272k_tokens": 2.25e-05,
    "input_cost_per_token_batches": 1.25e-06, "output_cost_per_token_batches": 7.5e-06,
    "input_cost_per_token_priority": 5e-06, "output_cost_per_token_priority": 3e-05,
    "cache_read_input_token_cost_priority": 5e-07,
    "search_context_cost_per_query": { "search_context_size_low": 0.01 }
  },
  "anthropic/claude-x": {
    "litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 3e-07, "output_cost_per_token": 1.5e-06,
    "cache_creation_input_token_cost": 3.75e-07, "cache_creation_input_token_cost_above_1hr": 6e-07,
    "input_cost_per_token_above_200k_tokens": 6.000000000000001e-07,
    "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-06
  },
  "novita/some/model": { "litellm_provider": "novita", "mode": "chat", "input_cost_per_token": 1e-07, "output_cost_per_token": 2e-07 },
  "whisper-x": { "litellm_provider": "openai", "mode": "audio_transcription", "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0 },
  "rerank-x": { "litellm_provider": "cohere", "mode": "rerank", "input_cost_per_query": 0.002, "input_cost_per_token": 0.0 },
  "tts-x": { "litellm_provider": "openai", "mode": "audio_speech", "input_cost_per_token": 6e-07, "output_cost_per_audio_token": 1.2e-05, "output_cost_per_token": 1e-05 },
  "azure/eu/gpt-x": { "litellm_provider": "azure", "mode": "chat", "input_cost_per_token": 1e-06 },
  "openai/sora": { "litellm_provider": "openai", "mode": "video_generation", "output_cost_per_second": 0.1 },
  "openai/free": { "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0 },
  "openai/empty": { "litellm_provider": "openai", "mode": "chat" },
  "openai/gpt-x": { "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-06 },
  "openai/negative": { "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": -1e-06 },
  "nobody": { "mode": "chat" },
  "a*": { "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-06 },
  "text": "no object"
}"#;

fn imported() -> (Imported, PriceList) {
    let imported = import(DATA).unwrap();
    let list = PriceList::parse([("imported.toml", imported.toml.as_str())]).unwrap();
    (imported, list)
}

/// Nano-dollars of prompt and completion.
fn nano(
    provider: Option<&str>,
    upstream: &str,
    model: &str,
    tier: Option<&str>,
    counts: [u64; 4],
) -> Option<u64> {
    let [prompt, cached, write_1h, completion] = counts;
    let mut request = Request::new(upstream, "2026-11-29T12:00:00Z".parse().unwrap());
    request.provider = provider;
    request.model = Some(model);
    request.service_tier = tier;
    request.usage.prompt_tokens = Some(prompt);
    request.usage.cached_prompt_tokens = Some(cached);
    request.usage.cache_write_1h_tokens = Some(write_1h);
    request.usage.completion_tokens = Some(completion);
    imported().1.cost(&request).nano_usd
}

#[test]
fn prices_steps_and_tiers_are_carried_over() {
    let gpt = |tier, counts| nano(Some("openai"), "default", "gpt-x", tier, counts);
    assert_eq!(gpt(None, [100, 40, 0, 10]), Some(60 * 2500 + 40 * 250 + 10 * 15_000));
    assert_eq!(gpt(None, [272_001, 0, 0, 10]), Some(272_001 * 5000 + 10 * 22_500));
    // What a tier leaves out changes like its prompt.
    assert_eq!(gpt(Some("batch"), [100, 40, 0, 10]), Some(60 * 1250 + 40 * 125 + 10 * 7500));
    assert_eq!(gpt(Some("batch"), [272_001, 0, 0, 10]), Some(272_001 * 2500 + 10 * 11_250));
    assert_eq!(gpt(Some("priority"), [100, 40, 0, 10]), Some(60 * 5000 + 40 * 500 + 10 * 30_000));
    assert_eq!(gpt(Some("flex"), [100, 40, 0, 10]), None);
    let claude = |counts| nano(Some("anthropic"), "default", "claude-x", None, counts);
    assert_eq!(claude([100, 0, 100, 0]), Some(100 * 600));
    // A float's noise is rounded away; the price above a length has it behind the cache's.
    assert_eq!(claude([200_001, 0, 1, 0]), Some(200_000 * 600 + 1200));
    assert_eq!(
        nano(Some("openai"), "default", "tts-x", None, [1, 0, 0, 10]),
        Some(600 + 10 * 12_000)
    );
}

#[test]
fn a_provider_that_is_unknown_becomes_an_upstream() {
    assert_eq!(nano(None, "novita", "some/model", None, [10, 0, 0, 10]), Some(3000));
}

#[test]
fn what_is_not_carried_over_is_listed_with_its_reason() {
    let (imported, list) = imported();
    let reason = |model: &str| {
        let of_model = imported.left_out.iter().filter(|left| left.model == model);
        of_model.map(|left| left.reason.as_str()).collect::<Vec<_>>().join("; ")
    };
    for (model, expected) in [
        ("gpt-x", "has no place in a price list: search_context_cost_per_query"),
        ("azure/eu/gpt-x", "price of a region"),
        ("openai/sora", "\"video_generation\" is not metered"),
        ("openai/free", "costs 0, which may mean unknown"),
        ("openai/empty", "has no price"),
        ("openai/gpt-x", "differs from litellm: gpt-x"),
        ("openai/negative", "has no price"),
        ("nobody", "names no provider"),
        ("a*", "cannot be that of a model"),
        ("text", "is no object"),
    ] {
        assert!(reason(model).contains(expected), "{model}: {}", reason(model));
    }
    assert_eq!(reason("whisper-x"), "");
    assert_eq!(imported.prices, list.entries().count());
    assert_eq!(imported.prices, 6);
}

#[test]
fn what_is_not_litellms_data_is_refused() {
    for text in ["", "[]", "3", "{", "{\"a\": {}"] {
        assert!(import(text).is_err(), "{text}");
    }
    assert_eq!(import("{}").unwrap().prices, 0);
}
