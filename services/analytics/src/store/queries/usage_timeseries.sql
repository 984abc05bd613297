-- Requests and tokens of a selection ($1 to $5) by bucket and group: the $9
-- largest groups by total tokens, and the rest as one. $6: starts of the
-- buckets; $7 and $8: grouping, tag.
WITH cells AS MATERIALIZED (
    SELECT width_bucket(r.started_at, $6::timestamptz[]) AS bucket,
           coalesce(CASE $7::smallint
               WHEN 1 THEN s.model
               WHEN 2 THEN s.upstream
               WHEN 3 THEN r.outcome::text
               WHEN 4 THEN s.client_key
               WHEN 5 THEN s.user_name
               WHEN 100 THEN s.tags ->> $8::text
           END, '') AS key,
           count(*) AS requests,
           count(*) FILTER (WHERE r.outcome NOT IN (1, 6)) AS failed_requests,
           sum(r.prompt_tokens) AS prompt_tokens,
           sum(r.cached_prompt_tokens) AS cached_prompt_tokens,
           sum(r.completion_tokens) AS completion_tokens,
           sum(r.reasoning_tokens) AS reasoning_tokens,
           sum(r.total_tokens) AS total_tokens
    FROM requests r
    JOIN series s ON s.series_id = r.series_id
    WHERE r.started_at >= $1 AND r.started_at < $2
      AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
      AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
      AND ($5::text[] IS NULL OR r.session = ANY ($5))
    GROUP BY 1, 2
),
ranked AS (
    SELECT key,
           row_number() OVER (ORDER BY coalesce(sum(total_tokens), 0) DESC,
                                       sum(requests) DESC, key COLLATE "C") AS rank
    FROM cells
    GROUP BY key
)
SELECT least(ranked.rank, $9::bigint + 1) AS rank,
       min(ranked.key COLLATE "C") AS key,
       cells.bucket,
       sum(requests)::bigint AS requests,
       sum(failed_requests)::bigint AS failed_requests,
       least(coalesce(sum(prompt_tokens), 0), 9223372036854775807)::bigint AS prompt_tokens,
       least(coalesce(sum(cached_prompt_tokens), 0), 9223372036854775807)::bigint AS cached_prompt_tokens,
       least(coalesce(sum(completion_tokens), 0), 9223372036854775807)::bigint AS completion_tokens,
       least(coalesce(sum(reasoning_tokens), 0), 9223372036854775807)::bigint AS reasoning_tokens,
       least(coalesce(sum(total_tokens), 0), 9223372036854775807)::bigint AS total_tokens
FROM cells
JOIN ranked ON ranked.key = cells.key
GROUP BY 1, cells.bucket
ORDER BY 1
