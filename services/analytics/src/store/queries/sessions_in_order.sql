-- Sessions with requests from $1 to before $2, all series together: at most $4 after
-- leaving out $5, in the order $3: along the index of the order, or, if it is negative, out
-- of all sessions of the range. Their sums are those of all their requests.
WITH changed AS MATERIALIZED (
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
    FROM session_changes
    WHERE series_id = 0
    GROUP BY session_id
),
-- Of the others, enough by each order; only the branch of $3 is run. NOT IN is hashed.
largest AS (
    (SELECT session_id
     FROM sessions
     WHERE $3::smallint = 1 AND series_id = 0 AND last_started_at >= $1 AND first_started_at < $2
       AND session_id NOT IN (SELECT session_id FROM changed)
     ORDER BY last_started_at DESC, session_id
     LIMIT $4::bigint + $5::bigint)
    UNION ALL
    (SELECT session_id
     FROM sessions
     WHERE $3 = 2 AND series_id = 0 AND last_started_at >= $1 AND first_started_at < $2
       AND session_id NOT IN (SELECT session_id FROM changed)
     ORDER BY requests DESC, last_started_at DESC, session_id
     LIMIT $4 + $5)
    UNION ALL
    (SELECT session_id
     FROM sessions
     WHERE $3 = 3 AND series_id = 0 AND last_started_at >= $1 AND first_started_at < $2
       AND session_id NOT IN (SELECT session_id FROM changed)
     ORDER BY total_tokens DESC, last_started_at DESC, session_id
     LIMIT $4 + $5)
    UNION ALL
    (SELECT session_id
     FROM sessions
     WHERE $3 = 4 AND series_id = 0 AND last_started_at >= $1 AND first_started_at < $2
       AND session_id NOT IN (SELECT session_id FROM changed)
     ORDER BY cost_nano_usd DESC, last_started_at DESC, session_id
     LIMIT $4 + $5)
    UNION ALL
    (SELECT session_id
     FROM sessions
     WHERE $3 = 5 AND series_id = 0 AND last_started_at >= $1 AND first_started_at < $2
       AND session_id NOT IN (SELECT session_id FROM changed)
     ORDER BY duration_us DESC, last_started_at DESC, session_id
     LIMIT $4 + $5)
    UNION ALL
    (SELECT session_id
     FROM sessions
     WHERE $3 < 0 AND series_id = 0 AND last_started_at >= $1 AND first_started_at < $2
       AND session_id NOT IN (SELECT session_id FROM changed)
     ORDER BY CASE $3
                  WHEN -2 THEN requests
                  WHEN -3 THEN total_tokens
                  WHEN -4 THEN cost_nano_usd
                  WHEN -5 THEN duration_us
              END DESC NULLS LAST,
              last_started_at DESC, session_id
     LIMIT $4 + $5)
),
found AS (
    SELECT s.session_id, s.first_started_at, s.last_started_at, s.last_ended_at, s.requests,
           s.failed_requests, s.prompt_tokens, s.cached_prompt_tokens, s.completion_tokens,
           s.total_tokens, s.cost_nano_usd, s.cache_saving_nano_usd, s.known_costs,
           s.unknown_costs, s.estimated_costs, s.duration_us, s.session
    FROM largest l
    -- one look-up after the other, whatever the planner expects
    CROSS JOIN LATERAL (
        SELECT * FROM sessions WHERE session_id = l.session_id AND series_id = 0 OFFSET 0
    ) AS s
    UNION ALL
    SELECT c.session_id, least(c.first_started_at, s.first_started_at),
           greatest(c.last_started_at, s.last_started_at),
           greatest(c.last_ended_at, s.last_ended_at),
           c.requests + coalesce(s.requests, 0),
           c.failed_requests + coalesce(s.failed_requests, 0),
           c.prompt_tokens + coalesce(s.prompt_tokens, 0),
           c.cached_prompt_tokens + coalesce(s.cached_prompt_tokens, 0),
           c.completion_tokens + coalesce(s.completion_tokens, 0),
           c.total_tokens + coalesce(s.total_tokens, 0),
           c.cost_nano_usd + coalesce(s.cost_nano_usd, 0),
           c.cache_saving_nano_usd + coalesce(s.cache_saving_nano_usd, 0),
           c.known_costs + coalesce(s.known_costs, 0),
           c.unknown_costs + coalesce(s.unknown_costs, 0),
           c.estimated_costs + coalesce(s.estimated_costs, 0),
           c.duration_us + coalesce(s.duration_us, 0),
           c.session
    FROM changed c
    LEFT JOIN LATERAL (
        SELECT * FROM sessions WHERE session_id = c.session_id AND series_id = 0 OFFSET 0
    ) AS s ON true
    WHERE least(c.first_started_at, s.first_started_at) < $2
      AND greatest(c.last_started_at, s.last_started_at) >= $1
),
page AS MATERIALIZED (
    SELECT *
    FROM found
    ORDER BY CASE abs($3)
                 WHEN 2 THEN requests
                 WHEN 3 THEN total_tokens
                 WHEN 4 THEN cost_nano_usd
                 WHEN 5 THEN duration_us
             END DESC NULLS LAST,
             last_started_at DESC, session_id
    LIMIT $4 OFFSET $5
),
used AS (
    SELECT s.session_id, s.series_id, s.requests
    FROM page p
    CROSS JOIN LATERAL (
        SELECT session_id, series_id, requests FROM sessions
        WHERE session_id = p.session_id AND series_id <> 0
        OFFSET 0
    ) AS s
    UNION ALL
    SELECT session_id, series_id, requests
    FROM session_changes
    WHERE series_id <> 0 AND session_id = ANY (ARRAY(SELECT session_id FROM page))
),
models AS (
    SELECT u.session_id, coalesce(d.model, '') AS model, sum(u.requests) AS requests,
           row_number() OVER (PARTITION BY u.session_id
                              ORDER BY sum(u.requests) DESC, coalesce(d.model, '')) AS rank
    FROM used u
    CROSS JOIN LATERAL (SELECT * FROM series WHERE series_id = u.series_id OFFSET 0) AS d
    WHERE NOT d.calls_no_model
    GROUP BY u.session_id, coalesce(d.model, '')
)
SELECT p.*,
       (SELECT array_agg(model ORDER BY m.requests DESC, model) FROM models m
        WHERE m.session_id = p.session_id AND m.rank <= 10) AS models
FROM page p
ORDER BY CASE abs($3)
             WHEN 2 THEN requests
             WHEN 3 THEN total_tokens
             WHEN 4 THEN cost_nano_usd
             WHEN 5 THEN duration_us
         END DESC NULLS LAST,
         last_started_at DESC, session_id
