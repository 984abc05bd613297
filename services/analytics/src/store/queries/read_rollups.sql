-- The rollups of some keys (series $1, bucket $2, outcome $3, in parallel lists)
-- of a width ($4). $5 and $6: the first bucket and the last one.
SELECT
    r.bucket, r.series_id, r.requests, r.last_started_at, r.busy_us, r.prompt_tokens,
    r.cached_prompt_tokens, r.cache_write_tokens, r.completion_tokens,
    r.reasoning_tokens, r.total_tokens, r.with_prompt, r.with_cached_prompt,
    r.with_cache_write, r.with_completion, r.with_reasoning, r.with_total,
    r.without_usage, r.with_estimated_usage, r.upstream_cost_usd, r.width, r.outcome,
    r.duration_us, r.first_token_us, r.decode_rate, r.prefill_rate, r.token_gaps
FROM unnest($1::bigint[], $2::timestamptz[], $3::smallint[]) AS k (series_id, bucket, outcome)
JOIN rollups r ON r.series_id = k.series_id AND r.bucket = k.bucket AND r.outcome = k.outcome
WHERE r.width = $4 AND r.bucket >= $5 AND r.bucket <= $6
