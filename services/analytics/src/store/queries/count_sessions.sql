-- How many sessions have requests from $1 to before $2, all series together.
WITH changed AS MATERIALIZED (
    SELECT session_id, min(first_started_at) AS first_started_at,
           max(last_started_at) AS last_started_at
    FROM session_changes
    WHERE series_id = 0
    GROUP BY session_id
),
known AS (
    SELECT s.first_started_at, s.last_started_at,
           least(c.first_started_at, s.first_started_at) AS first_with_changes,
           greatest(c.last_started_at, s.last_started_at) AS last_with_changes
    FROM changed c
    LEFT JOIN LATERAL (
        SELECT * FROM sessions WHERE session_id = c.session_id AND series_id = 0 OFFSET 0
    ) AS s ON true
)
SELECT (SELECT count(*) FROM sessions
        WHERE series_id = 0 AND last_started_at >= $1 AND first_started_at < $2)
       + (SELECT count(*) FILTER (WHERE first_with_changes < $2 AND last_with_changes >= $1)
                 - count(*) FILTER (WHERE first_started_at < $2 AND last_started_at >= $1)
          FROM known)
