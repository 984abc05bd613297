-- Writes merged rollups, in place of older ones where there are some.
INSERT INTO rollups (
    bucket, series_id, requests, last_started_at, busy_us, prompt_tokens,
    cached_prompt_tokens, cache_write_tokens, completion_tokens,
    reasoning_tokens, total_tokens, with_prompt, with_cached_prompt,
    with_cache_write, with_completion, with_reasoning, with_total,
    without_usage, with_estimated_usage, upstream_cost_usd, width, outcome,
    duration_us, first_token_us, decode_rate, prefill_rate, token_gaps)
SELECT
    bucket, series_id, requests, last_started_at, busy_us, prompt_tokens,
    cached_prompt_tokens, cache_write_tokens, completion_tokens,
    reasoning_tokens, total_tokens, with_prompt, with_cached_prompt,
    with_cache_write, with_completion, with_reasoning, with_total,
    without_usage, with_estimated_usage, upstream_cost_usd, width, outcome,
    duration_us, first_token_us, decode_rate, prefill_rate, token_gaps
FROM merged_rollups
ON CONFLICT (series_id, bucket, width, outcome) DO UPDATE SET
    requests = excluded.requests,
    last_started_at = excluded.last_started_at,
    busy_us = excluded.busy_us,
    prompt_tokens = excluded.prompt_tokens,
    cached_prompt_tokens = excluded.cached_prompt_tokens,
    cache_write_tokens = excluded.cache_write_tokens,
    completion_tokens = excluded.completion_tokens,
    reasoning_tokens = excluded.reasoning_tokens,
    total_tokens = excluded.total_tokens,
    with_prompt = excluded.with_prompt,
    with_cached_prompt = excluded.with_cached_prompt,
    with_cache_write = excluded.with_cache_write,
    with_completion = excluded.with_completion,
    with_reasoning = excluded.with_reasoning,
    with_total = excluded.with_total,
    without_usage = excluded.without_usage,
    with_estimated_usage = excluded.with_estimated_usage,
    upstream_cost_usd = excluded.upstream_cost_usd,
    duration_us = excluded.duration_us,
    first_token_us = excluded.first_token_us,
    decode_rate = excluded.decode_rate,
    prefill_rate = excluded.prefill_rate,
    token_gaps = excluded.token_gaps
