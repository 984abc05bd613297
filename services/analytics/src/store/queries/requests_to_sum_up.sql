-- What is summed up of the requests that began before $2: from $3 on, and of those
-- that began since $1 and still ran at $3.
SELECT r.series_id, r.started_at, r.outcome, r.usage_source, r.prompt_tokens,
       r.cached_prompt_tokens, r.cache_write_tokens, r.completion_tokens,
       r.reasoning_tokens, r.total_tokens, r.upstream_cost_usd,
       r.cost_nano_usd, r.cache_saving_nano_usd, r.cost_source,
       r.duration_us, r.first_token_us, r.decode_tokens_per_second,
       r.prefill_tokens_per_second, r.token_gaps,
       s.generating,
       -- of failed ones
       CASE WHEN r.outcome NOT IN (1, 6) THEN r.event_id END,
       CASE WHEN r.outcome NOT IN (1, 6) THEN r.error_type END
FROM requests r
JOIN series s ON s.series_id = r.series_id
WHERE r.started_at >= $1 AND r.started_at < $2
  AND (r.started_at >= $3
       -- the second half is the index requests_long
       OR (r.started_at >= $3::timestamptz - interval '10 minutes' OR r.duration_us > 600000000)
          AND r.started_at + r.duration_us * interval '1 microsecond' > $3)
