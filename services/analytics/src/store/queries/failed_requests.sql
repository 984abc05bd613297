-- Failed requests of a selection ($1 to $10) by series, outcome and type of error; at most
-- $11 requests are read.
SELECT f.outcome, f.error_type, f.requests, f.first_started_at, f.last_started_at, f.event_id,
       coalesce(s.model, '') AS model, s.upstream, s.client_key
FROM (
    SELECT series_id, outcome, error_type, count(*) AS requests,
           min(started_at) AS first_started_at, max(started_at) AS last_started_at,
           (array_agg(event_id ORDER BY started_at DESC, event_id DESC))[1] AS event_id
    FROM (
        SELECT r.series_id, r.outcome, r.error_type, r.started_at, r.event_id
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
        LIMIT $11::bigint
    ) AS failed
    GROUP BY series_id, outcome, error_type
) AS f
JOIN series s ON s.series_id = f.series_id
