-- Rate limits of upstreams $3 and client keys $4 (NULL: all), without those of $5 and $6,
-- as responses stated them from $1 to before $2: for each the last and the lowest values,
-- and the lowest of each of 24 parts; those with the least left first, at most $7.
-- Refusals (kind 0) likewise, the newest first. From bucket $9 to before $10 whole hours
-- are read, before and after that, from $8 to before $11, five minutes; at most $12 rows.
WITH parts AS (
    SELECT n.upstream, n.client_key, n.kind, n.window_name, b.bucket, b.seen_at,
           b.resets_at, b.allowed, b.remaining, b.headroom, b.lowest_at,
           b.lowest_remaining, b.lowest_headroom, b.refused
    FROM rate_limits n
    JOIN rate_limit_buckets b ON b.limit_id = n.limit_id
    WHERE (b.level = 5 AND (b.bucket >= $8::integer AND b.bucket < $9::integer
                            OR b.bucket >= $10::integer AND b.bucket < $11::integer)
           OR b.level = 60 AND b.bucket >= $9 AND b.bucket < $10)
      AND ($3::text[] IS NULL OR n.upstream = ANY ($3))
      AND ($4::text[] IS NULL OR n.client_key = ANY ($4))
      AND ($5::text[] IS NULL OR n.upstream <> ALL ($5))
      AND ($6::text[] IS NULL OR n.client_key <> ALL ($6))
    UNION ALL
    SELECT upstream, client_key, kind, window_name, bucket, seen_at, resets_at, allowed,
           remaining, headroom, lowest_at, lowest_remaining, lowest_headroom, refused
    FROM rate_limit_changes
    WHERE bucket >= $8 AND bucket < $11
      AND ($3 IS NULL OR upstream = ANY ($3))
      AND ($4 IS NULL OR client_key = ANY ($4))
      AND ($5 IS NULL OR upstream <> ALL ($5))
      AND ($6 IS NULL OR client_key <> ALL ($6))
    LIMIT $12::bigint
),
latest AS (
    SELECT DISTINCT ON (upstream, client_key, kind, window_name)
           upstream, client_key, kind, window_name, seen_at, resets_at, allowed, remaining,
           headroom
    FROM parts
    ORDER BY upstream, client_key, kind, window_name, seen_at DESC, coalesce(remaining, 0)
),
lowest AS (
    SELECT DISTINCT ON (upstream, client_key, kind, window_name)
           upstream, client_key, kind, window_name, lowest_at, lowest_remaining,
           lowest_headroom
    FROM parts
    ORDER BY upstream, client_key, kind, window_name, lowest_headroom, lowest_remaining,
             lowest_at DESC
),
lines AS (
    SELECT upstream, client_key, kind, window_name, sum(refused)::bigint AS refused,
           array_agg(part) FILTER (WHERE headroom IS NOT NULL) AS parts,
           array_agg(headroom) FILTER (WHERE headroom IS NOT NULL) AS headrooms
    FROM (
        SELECT upstream, client_key, kind, window_name, sum(refused) AS refused,
               min(lowest_headroom) AS headroom,
               least(greatest(floor(
                   -- in this order, so that nothing is rounded down twice
                   (bucket * 60.0 - extract(epoch FROM $1)) * 24
                   / extract(epoch FROM $2 - $1)), 0), 23)::integer AS part
        FROM parts
        GROUP BY upstream, client_key, kind, window_name, part
    ) AS slots
    GROUP BY upstream, client_key, kind, window_name
),
ranked AS (
    SELECT *,
           row_number() OVER (
               PARTITION BY kind = 0
               ORDER BY headroom, CASE WHEN kind = 0 THEN seen_at END DESC, upstream,
                        client_key, kind, window_name) AS place,
           count(*) OVER (PARTITION BY kind = 0) AS total
    FROM latest
    JOIN lowest USING (upstream, client_key, kind, window_name)
    JOIN lines USING (upstream, client_key, kind, window_name)
)
SELECT *, (SELECT count(*) FROM parts) AS read
FROM ranked
WHERE place <= $7::bigint
ORDER BY place
