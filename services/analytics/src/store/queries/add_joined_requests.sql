-- Notes what requests ($4, $5) add to the sessions that they were joined to, and all that
-- are left in sessions $6: in their series, and in all of them as series 0.
INSERT INTO session_changes (
    session_id, series_id, first_started_at, last_started_at, last_ended_at, requests,
    failed_requests, prompt_tokens, cached_prompt_tokens, completion_tokens, total_tokens,
    cost_nano_usd, cache_saving_nano_usd, known_costs, unknown_costs, estimated_costs,
    duration_us, session)
SELECT ('x' || left(encode(sha256(convert_to(r.session, 'UTF8')), 'hex'), 16))::bit(64)::bigint,
       coalesce(r.series_id, 0),
       min(r.started_at), max(r.started_at),
       max(r.started_at + coalesce(r.duration_us, 0) * interval '1 microsecond'),
       count(*),
       count(*) FILTER (WHERE r.outcome <> ALL ($1::smallint[])),
       coalesce(sum(r.prompt_tokens), 0), coalesce(sum(r.cached_prompt_tokens), 0),
       coalesce(sum(r.completion_tokens), 0), coalesce(sum(r.total_tokens), 0),
       coalesce(sum(r.cost_nano_usd), 0), coalesce(sum(r.cache_saving_nano_usd), 0),
       count(r.cost_nano_usd),
       count(*) FILTER (WHERE r.cost_source = $2),
       count(*) FILTER (WHERE r.cost_source = $3),
       coalesce(sum(r.duration_us), 0),
       r.session
FROM (
    SELECT r.*
    FROM requests r
    JOIN unnest($4::timestamptz[], $5::uuid[]) AS u (started_at, event_id)
      ON r.started_at = u.started_at AND r.event_id = u.event_id
    WHERE r.session <> ALL ($6::text[])
    UNION ALL
    SELECT r.*
    FROM requests r
    WHERE r.session = ANY ($6)
      -- the index requests_session
      AND hashtextextended(r.session, 0)
          = ANY (ARRAY(SELECT hashtextextended(s, 0) FROM unnest($6) AS s))
) AS r
GROUP BY GROUPING SETS ((r.session, r.series_id), (r.session))
