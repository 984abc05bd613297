-- The models of a selection ($1 to $5): the $7 first ones by the order $6, a
-- ModelOrder of the contract.
WITH models AS MATERIALIZED (
    SELECT coalesce(s.model, '') AS model,
           count(*) AS requests,
           count(*) FILTER (WHERE r.outcome NOT IN (1, 6)) AS failed_requests,
           coalesce(sum(r.prompt_tokens), 0) AS prompt_tokens,
           coalesce(sum(r.cached_prompt_tokens), 0) AS cached_prompt_tokens,
           coalesce(sum(r.cache_write_tokens), 0) AS cache_write_tokens,
           coalesce(sum(r.completion_tokens), 0) AS completion_tokens,
           coalesce(sum(r.reasoning_tokens), 0) AS reasoning_tokens,
           coalesce(sum(r.total_tokens), 0) AS total_tokens,
           count(*) FILTER (WHERE r.outcome = 1 AND s.operation IN (1, 2, 3)
                              AND r.usage_source IN (4, 5)) AS requests_without_usage,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY r.decode_tokens_per_second) AS decode_rate,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY r.prefill_tokens_per_second) AS prefill_rate,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY r.first_token_us) AS first_token_us,
           max(r.started_at) AS last_seen_at
    FROM requests r
    JOIN series s ON s.series_id = r.series_id
    WHERE r.started_at >= $1 AND r.started_at < $2
      AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
      AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
      AND ($5::text[] IS NULL OR r.session = ANY ($5))
    GROUP BY 1
)
SELECT model,
       requests,
       failed_requests,
       least(prompt_tokens, 9223372036854775807)::bigint AS prompt_tokens,
       least(cached_prompt_tokens, 9223372036854775807)::bigint AS cached_prompt_tokens,
       least(cache_write_tokens, 9223372036854775807)::bigint AS cache_write_tokens,
       least(completion_tokens, 9223372036854775807)::bigint AS completion_tokens,
       least(reasoning_tokens, 9223372036854775807)::bigint AS reasoning_tokens,
       least(total_tokens, 9223372036854775807)::bigint AS total_tokens,
       requests_without_usage,
       decode_rate,
       prefill_rate,
       first_token_us,
       last_seen_at,
       (count(*) OVER ()) AS models,
       (sum(requests) OVER ())::bigint AS all_requests
FROM models
ORDER BY CASE $6::smallint
             WHEN 2 THEN total_tokens
             WHEN 3 THEN completion_tokens
             WHEN 4 THEN extract(epoch FROM last_seen_at)
             WHEN 5 THEN failed_requests::numeric / requests
             ELSE requests
         END DESC,
         requests DESC,
         model COLLATE "C"
LIMIT $7::bigint
