-- Totals and percentiles of a selection ($1 to $5). A sum beyond bigint stays at
-- its limit.
SELECT count(*) AS requests,
       -- neither OK nor CLIENT_CLOSED
       count(*) FILTER (WHERE r.outcome NOT IN (1, 6)) AS failed_requests,
       count(*) FILTER (WHERE r.outcome = 6) AS client_closed_requests,
       least(coalesce(sum(r.prompt_tokens), 0), 9223372036854775807)::bigint AS prompt_tokens,
       least(coalesce(sum(r.cached_prompt_tokens), 0), 9223372036854775807)::bigint AS cached_prompt_tokens,
       least(coalesce(sum(r.cache_write_tokens), 0), 9223372036854775807)::bigint AS cache_write_tokens,
       least(coalesce(sum(r.completion_tokens), 0), 9223372036854775807)::bigint AS completion_tokens,
       least(coalesce(sum(r.reasoning_tokens), 0), 9223372036854775807)::bigint AS reasoning_tokens,
       least(coalesce(sum(r.total_tokens), 0), 9223372036854775807)::bigint AS total_tokens,
       -- OK; chat, completion or embedding; NOT_REPORTED or UNPARSEABLE
       count(*) FILTER (WHERE r.outcome = 1 AND s.operation IN (1, 2, 3)
                          AND r.usage_source IN (4, 5)) AS requests_without_usage,
       -- ESTIMATED
       count(*) FILTER (WHERE r.usage_source = 3) AS requests_with_estimated_usage,
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY r.duration_us) AS duration_us,
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY r.first_token_us) AS first_token_us,
       percentile_cont(ARRAY[0.05, 0.5, 0.95]) WITHIN GROUP (ORDER BY r.decode_tokens_per_second) AS decode_rate,
       percentile_cont(ARRAY[0.05, 0.5, 0.95]) WITHIN GROUP (ORDER BY r.prefill_tokens_per_second) AS prefill_rate,
       sum(r.upstream_cost_usd) AS upstream_cost_usd
FROM requests r
JOIN series s ON s.series_id = r.series_id
WHERE r.started_at >= $1 AND r.started_at < $2
  AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
  AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
  AND ($5::text[] IS NULL OR r.session = ANY ($5))
