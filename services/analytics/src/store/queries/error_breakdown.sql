-- Failed requests of a selection ($1 to $10) by error, model and upstream, most first: at
-- most $11 groups; at most $12 requests are read. With the number of groups and of
-- requests in all of them, and the newest request of each.
WITH by_series AS (
    SELECT series_id, outcome, error_type, count(*) AS requests,
           min(started_at) AS first_started_at, max(started_at) AS last_started_at
    FROM (
        SELECT r.series_id, r.outcome, r.error_type, r.started_at
        FROM requests r
        WHERE r.started_at >= $1 AND r.started_at < $2
          -- the index requests_failed
          AND r.outcome NOT IN (1, 6)
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
        LIMIT $12::bigint
    ) AS failed
    GROUP BY series_id, outcome, error_type
),
groups AS (
    SELECT f.outcome, f.error_type, coalesce(s.model, '') AS model, s.upstream,
           sum(f.requests)::bigint AS requests,
           min(f.first_started_at) AS first_started_at,
           max(f.last_started_at) AS last_started_at,
           count(DISTINCT s.client_key) AS client_keys,
           array_agg(f.series_id) AS series,
           count(*) OVER () AS groups,
           sum(sum(f.requests)) OVER ()::bigint AS failed_requests
    FROM by_series f
    JOIN series s ON s.series_id = f.series_id
    GROUP BY f.outcome, f.error_type, coalesce(s.model, ''), s.upstream
    ORDER BY requests DESC, last_started_at DESC, f.outcome, f.error_type, model, s.upstream
    LIMIT $11::bigint
)
SELECT g.outcome, g.error_type, g.model, g.upstream, g.requests, g.first_started_at,
       g.last_started_at, g.client_keys, g.groups, g.failed_requests, sample.event_id
FROM groups g
CROSS JOIN LATERAL (
    SELECT r.event_id
    FROM requests r
    WHERE r.started_at = g.last_started_at
      AND r.series_id = ANY (g.series)
      AND r.outcome = g.outcome
      AND r.error_type IS NOT DISTINCT FROM g.error_type
      AND ($5::text[] IS NULL OR r.session = ANY ($5))
      AND ($6::uuid[] IS NULL OR r.trace_id = ANY ($6))
      AND ($8::text[] IS NULL OR r.session IS NULL OR r.session <> ALL ($8))
      AND ($9::bigint IS NULL OR r.prompt_tokens >= $9)
      AND ($10::bigint IS NULL OR r.prompt_tokens <= $10)
    ORDER BY r.event_id DESC
    LIMIT 1
) AS sample
ORDER BY g.requests DESC, g.last_started_at DESC, g.outcome, g.error_type, g.model, g.upstream
