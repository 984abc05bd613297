-- Moves at most $1 changes into the buckets of rate limits; gives how many, and how many
-- were dropped since there are $2 limits already. Only by the one process that holds the
-- lock of the rollups.
WITH taken AS (
    DELETE FROM rate_limit_changes
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM rate_limit_changes LIMIT $1::bigint))
    RETURNING *
),
made AS (
    INSERT INTO rate_limits (limit_id, upstream, client_key, kind, window_name)
    SELECT (SELECT coalesce(max(limit_id), 0) FROM rate_limits) + place,
           upstream, client_key, kind, window_name
    FROM (
        SELECT upstream, client_key, kind, window_name,
               row_number() OVER (ORDER BY upstream, client_key, kind, window_name) AS place
        FROM taken t
        WHERE NOT EXISTS (
            SELECT FROM rate_limits l
            WHERE l.upstream = t.upstream AND l.client_key = t.client_key
              AND l.kind = t.kind AND l.window_name = t.window_name)
        GROUP BY upstream, client_key, kind, window_name
    ) AS fresh
    WHERE place <= $2::bigint - (SELECT count(*) FROM rate_limits)
    RETURNING *
),
named AS (
    SELECT * FROM rate_limits
    UNION ALL
    SELECT * FROM made
),
parts AS (
    SELECT n.limit_id, level, t.bucket - t.bucket % level AS at, t.*
    FROM taken t
    JOIN named n USING (upstream, client_key, kind, window_name)
    CROSS JOIN unnest(ARRAY[5, 60]::smallint[]) AS level
),
latest AS (
    SELECT DISTINCT ON (limit_id, level, at)
           limit_id, level, at, seen_at, resets_at, allowed, remaining, headroom
    FROM parts
    ORDER BY limit_id, level, at, seen_at DESC, coalesce(remaining, 0)
),
lowest AS (
    SELECT DISTINCT ON (limit_id, level, at)
           limit_id, level, at, lowest_at, lowest_remaining, lowest_headroom
    FROM parts
    ORDER BY limit_id, level, at, lowest_headroom, lowest_remaining, lowest_at DESC
),
sums AS (
    SELECT limit_id, level, at, sum(refused)::bigint AS refused
    FROM parts
    GROUP BY limit_id, level, at
),
moved AS (
    INSERT INTO rate_limit_buckets AS known (
        limit_id, level, bucket, seen_at, resets_at, allowed, remaining, headroom,
        lowest_at, lowest_remaining, lowest_headroom, refused)
    SELECT limit_id, level, at, seen_at, resets_at, allowed, remaining, headroom,
           lowest_at, lowest_remaining, lowest_headroom, refused
    FROM latest
    JOIN lowest USING (limit_id, level, at)
    JOIN sums USING (limit_id, level, at)
    ON CONFLICT (limit_id, level, bucket) DO UPDATE SET
        (seen_at, resets_at, allowed, remaining, headroom) = (
            SELECT newer.seen_at, newer.resets_at, newer.allowed, newer.remaining,
                   newer.headroom
            FROM (VALUES
                (known.seen_at, known.resets_at, known.allowed, known.remaining,
                 known.headroom),
                (excluded.seen_at, excluded.resets_at, excluded.allowed,
                 excluded.remaining, excluded.headroom)
            ) AS newer (seen_at, resets_at, allowed, remaining, headroom)
            ORDER BY newer.seen_at DESC, coalesce(newer.remaining, 0)
            LIMIT 1),
        (lowest_at, lowest_remaining, lowest_headroom) = (
            SELECT lower.lowest_at, lower.lowest_remaining, lower.lowest_headroom
            FROM (VALUES
                (known.lowest_at, known.lowest_remaining, known.lowest_headroom),
                (excluded.lowest_at, excluded.lowest_remaining, excluded.lowest_headroom)
            ) AS lower (lowest_at, lowest_remaining, lowest_headroom)
            ORDER BY lower.lowest_headroom, lower.lowest_remaining, lower.lowest_at DESC
            LIMIT 1),
        refused = known.refused + excluded.refused
)
SELECT (SELECT count(*) FROM taken),
       (SELECT count(*) FROM taken t
        WHERE NOT EXISTS (
            SELECT FROM named n
            WHERE n.upstream = t.upstream AND n.client_key = t.client_key
              AND n.kind = t.kind AND n.window_name = t.window_name))
