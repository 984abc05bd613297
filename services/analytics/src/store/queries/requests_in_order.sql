-- Single requests of a selection ($1 to $10), oldest first: at most $11 (NULL: all), after
-- leaving out $12.
SELECT r.*, s.model, s.upstream, s.dialect, s.operation, s.stream, s.client_key,
       s.user_name, s.user_agent_family, s.tags,
       k.replica_id AS kind_replica_id, k.method AS kind_method, k.path AS kind_path,
       k.model_requested AS kind_model_requested, k.service_tier AS kind_service_tier,
       k.finish_reason AS kind_finish_reason, k.provider AS kind_provider,
       k.price_version AS kind_price_version
FROM requests r
JOIN series s ON s.series_id = r.series_id
LEFT JOIN kinds k ON k.kind_id = r.kind_id
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
ORDER BY r.started_at, r.event_id
LIMIT $11::bigint OFFSET $12::bigint
