-- As rollups.sql, for segments that are so far apart that each of them is looked
-- up on its own.
SELECT place,
       grp,
       count(*) AS rows,
       sum(requests)::bigint AS requests,
       -- neither OK nor CLIENT_CLOSED
       coalesce(sum(requests) FILTER (WHERE outcome NOT IN (1, 6)), 0)::bigint AS failed,
       coalesce(sum(requests) FILTER (WHERE outcome = 6), 0)::bigint AS client_closed,
       max(last_started_at) AS last_started_at,
       least(coalesce(sum(busy_us), 0), 9223372036854775807)::bigint AS busy_us,
       least(coalesce(sum(prompt_tokens), 0), 9223372036854775807)::bigint AS prompt_tokens,
       least(coalesce(sum(cached_prompt_tokens), 0), 9223372036854775807)::bigint AS cached_prompt_tokens,
       least(coalesce(sum(cache_write_tokens), 0), 9223372036854775807)::bigint AS cache_write_tokens,
       least(coalesce(sum(completion_tokens), 0), 9223372036854775807)::bigint AS completion_tokens,
       least(coalesce(sum(reasoning_tokens), 0), 9223372036854775807)::bigint AS reasoning_tokens,
       least(coalesce(sum(total_tokens), 0), 9223372036854775807)::bigint AS total_tokens,
       coalesce(sum(without_usage), 0)::bigint AS without_usage,
       coalesce(sum(with_estimated_usage), 0)::bigint AS with_estimated_usage,
       sum(upstream_cost_usd) AS upstream_cost_usd,
       string_agg(duration_us, '') FILTER (WHERE $11) AS duration_us,
       string_agg(first_token_us, '') FILTER (WHERE $11) AS first_token_us,
       string_agg(decode_rate, '') FILTER (WHERE $11) AS decode_rate,
       string_agg(prefill_rate, '') FILTER (WHERE $11) AS prefill_rate,
       string_agg(token_gaps, '') FILTER (WHERE $11) AS token_gaps
FROM (
    SELECT k.place,
           CASE WHEN $6 THEN r.outcome ELSE k.grp END AS grp,
           r.*
    FROM (
        SELECT *
        FROM unnest($1::timestamptz[], $2::timestamptz[], $3::integer[]) AS s (began, ended, place)
        CROSS JOIN unnest($4::bigint[], $5::integer[]) AS m (series_id, grp)
        -- not to be taken apart by the planner
        OFFSET 0
    ) AS k
    JOIN rollups r
      ON r.series_id = k.series_id AND r.bucket >= k.began AND r.bucket < k.ended
    WHERE r.width = $8
      AND r.bucket >= $9::timestamptz
      AND r.bucket < $10::timestamptz
      AND ($7::smallint[] IS NULL OR r.outcome = ANY ($7))
    LIMIT $12::bigint
) AS cells
GROUP BY place, grp
