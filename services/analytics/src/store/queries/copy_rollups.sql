-- Adds rollups where there are none.
COPY rollups (
    bucket, series_id, requests, last_started_at, busy_us, prompt_tokens,
    cached_prompt_tokens, cache_write_tokens, completion_tokens,
    reasoning_tokens, total_tokens, with_prompt, with_cached_prompt,
    with_cache_write, with_completion, with_reasoning, with_total,
    without_usage, with_estimated_usage, upstream_cost_usd, width, outcome,
    duration_us, first_token_us, decode_rate, prefill_rate, token_gaps)
FROM STDIN (FORMAT binary)
