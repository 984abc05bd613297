-- What is summed up of the requests of a selection ($1 to $10), with the value of a
-- grouping ($11, tag $12), NULL as in matching_series.sql; at most $13 rows. $14: what only histograms need, too.
SELECT r.series_id, r.started_at, r.outcome, r.usage_source, r.prompt_tokens,
       r.cached_prompt_tokens, r.cache_write_tokens, r.completion_tokens,
       r.reasoning_tokens, r.total_tokens, r.upstream_cost_usd,
       r.cost_nano_usd, r.cache_saving_nano_usd, r.cost_source,
       CASE WHEN $14 THEN r.duration_us END, CASE WHEN $14 THEN r.first_token_us END,
       CASE WHEN $14 THEN r.decode_tokens_per_second END,
       CASE WHEN $14 THEN r.prefill_tokens_per_second END,
       CASE WHEN $14 THEN r.token_gaps END,
       s.generating,
       CASE WHEN $11::smallint <> 1 OR NOT s.calls_no_model
       THEN coalesce(CASE $11::smallint
           WHEN 1 THEN s.model
           WHEN 2 THEN s.upstream
           WHEN 4 THEN s.client_key
           WHEN 5 THEN s.user_name
           WHEN 6 THEN s.operation::text
           WHEN 7 THEN s.user_agent_family
           WHEN 8 THEN s.dialect
           WHEN 9 THEN r.session
           WHEN 10 THEN r.error_type
           WHEN 100 THEN s.tags ->> $12::text
       END, '') END AS key
FROM requests r
-- one look-up after the other, whatever the planner expects
CROSS JOIN LATERAL (SELECT * FROM series WHERE series_id = r.series_id OFFSET 0) AS s
WHERE r.started_at >= $1 AND r.started_at < $2
  AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
  AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
  AND ($5::text[] IS NULL
           -- the second half is the index requests_session
           OR r.session = ANY ($5)
              AND hashtextextended(r.session, 0)
                  = ANY (ARRAY(SELECT hashtextextended(s, 0) FROM unnest($5) AS s)))
  AND ($6::uuid[] IS NULL OR r.trace_id = ANY ($6))
  AND ($7::smallint[] IS NULL OR r.outcome <> ALL ($7))
  AND ($8::text[] IS NULL OR r.session IS NULL OR r.session <> ALL ($8))
  AND ($9::bigint IS NULL OR r.prompt_tokens >= $9)
  AND ($10::bigint IS NULL OR r.prompt_tokens <= $10)
LIMIT $13::bigint
