-- The changes of the minutes from $1 to before $2 that are not in the rollups yet,
-- of series $3 and outcomes $4.
SELECT
    bucket, series_id, requests, last_started_at, busy_us, prompt_tokens,
    cached_prompt_tokens, cache_write_tokens, completion_tokens,
    reasoning_tokens, total_tokens, with_prompt, with_cached_prompt,
    with_cache_write, with_completion, with_reasoning, with_total,
    without_usage, with_estimated_usage, upstream_cost_usd, width, outcome,
    duration_us, first_token_us, decode_rate, prefill_rate, token_gaps
FROM rollup_changes
WHERE bucket >= $1 AND bucket < $2
  AND series_id = ANY ($3::bigint[])
  AND ($4::smallint[] IS NULL OR outcome = ANY ($4))
