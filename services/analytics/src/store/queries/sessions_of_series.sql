-- Sessions with requests from $1 to before $2 in series $3, those of names $4 or all
-- (NULL): at most $6 after leaving out $7, in the order $5. Their sums are those of all
-- their requests in these series. With how many there are.
WITH changes AS (
    SELECT session_id, series_id, min(first_started_at) AS first_started_at,
           max(last_started_at) AS last_started_at, max(last_ended_at) AS last_ended_at,
           sum(requests)::bigint AS requests,
           sum(failed_requests)::bigint AS failed_requests,
           sum(prompt_tokens)::bigint AS prompt_tokens,
           sum(cached_prompt_tokens)::bigint AS cached_prompt_tokens,
           sum(completion_tokens)::bigint AS completion_tokens,
           sum(total_tokens)::bigint AS total_tokens,
           sum(cost_nano_usd)::bigint AS cost_nano_usd,
           sum(cache_saving_nano_usd)::bigint AS cache_saving_nano_usd,
           sum(known_costs)::bigint AS known_costs,
           sum(unknown_costs)::bigint AS unknown_costs,
           sum(estimated_costs)::bigint AS estimated_costs,
           sum(duration_us)::bigint AS duration_us,
           min(session) AS session
    FROM session_changes
    WHERE series_id = ANY ($3::bigint[]) AND ($4::text[] IS NULL OR session = ANY ($4))
    GROUP BY session_id, series_id
),
recent AS (
    SELECT session_id, series_id, first_started_at, last_started_at, last_ended_at,
           requests, failed_requests, prompt_tokens, cached_prompt_tokens,
           completion_tokens, total_tokens, cost_nano_usd, cache_saving_nano_usd,
           known_costs, unknown_costs, estimated_costs, duration_us, session
    FROM sessions
    WHERE series_id = ANY ($3) AND last_started_at >= $1
      AND ($4 IS NULL OR session = ANY ($4))
),
parts AS (
    SELECT * FROM recent
    UNION ALL
    SELECT * FROM changes
    UNION ALL
    -- what is older, of sessions that go on, perhaps in another series
    SELECT s.session_id, s.series_id, s.first_started_at, s.last_started_at,
           s.last_ended_at, s.requests, s.failed_requests, s.prompt_tokens,
           s.cached_prompt_tokens, s.completion_tokens, s.total_tokens,
           s.cost_nano_usd, s.cache_saving_nano_usd, s.known_costs, s.unknown_costs,
           s.estimated_costs, s.duration_us, s.session
    FROM (SELECT session_id FROM changes
          UNION
          SELECT session_id FROM recent WHERE cardinality($3) > 1) AS going_on
    JOIN sessions s ON s.session_id = going_on.session_id AND s.series_id = ANY ($3)
    WHERE s.last_started_at < $1
),
found AS (
    SELECT session_id, min(first_started_at) AS first_started_at,
           max(last_started_at) AS last_started_at, max(last_ended_at) AS last_ended_at,
           sum(requests)::bigint AS requests,
           sum(failed_requests)::bigint AS failed_requests,
           sum(prompt_tokens)::bigint AS prompt_tokens,
           sum(cached_prompt_tokens)::bigint AS cached_prompt_tokens,
           sum(completion_tokens)::bigint AS completion_tokens,
           sum(total_tokens)::bigint AS total_tokens,
           sum(cost_nano_usd)::bigint AS cost_nano_usd,
           sum(cache_saving_nano_usd)::bigint AS cache_saving_nano_usd,
           sum(known_costs)::bigint AS known_costs,
           sum(unknown_costs)::bigint AS unknown_costs,
           sum(estimated_costs)::bigint AS estimated_costs,
           sum(duration_us)::bigint AS duration_us,
           min(session) AS session
    FROM parts
    GROUP BY session_id
    HAVING min(first_started_at) < $2 AND max(last_started_at) >= $1
),
page AS (
    SELECT *, count(*) OVER () AS sessions
    FROM found
    ORDER BY CASE $5::smallint
                 WHEN 2 THEN requests
                 WHEN 3 THEN total_tokens
                 WHEN 4 THEN cost_nano_usd
                 WHEN 5 THEN duration_us
             END DESC NULLS LAST,
             last_started_at DESC, session_id
    LIMIT $6::bigint OFFSET $7::bigint
)
SELECT p.*,
       (SELECT array_agg(model ORDER BY requests DESC, model)
        FROM (SELECT coalesce(d.model, '') AS model, sum(s.requests) AS requests
              FROM (SELECT series_id, session_id, requests FROM sessions
                    WHERE session_id = p.session_id
                    UNION ALL
                    SELECT series_id, session_id, requests FROM session_changes
                    WHERE session_id = p.session_id) AS s
              JOIN series d ON d.series_id = s.series_id
              WHERE (0 = ANY ($3) OR s.series_id = ANY ($3)) AND NOT d.calls_no_model
              GROUP BY 1
              ORDER BY 2 DESC
              LIMIT 10) AS used) AS models
FROM page p
ORDER BY CASE $5::smallint
             WHEN 2 THEN requests
             WHEN 3 THEN total_tokens
             WHEN 4 THEN cost_nano_usd
             WHEN 5 THEN duration_us
         END DESC NULLS LAST,
         last_started_at DESC, session_id
