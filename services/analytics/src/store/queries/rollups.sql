-- Rollups of a level ($6) by bucket of the answer and group. The buckets are
-- segments of time with starts $1, ends $2 and places $3; series $4 belong to
-- groups $5. Of each series the spans with starts $7 and ends $8 are looked up,
-- all of which lie from $9 to before $10, and at most $12 rows are read. Sums, and
-- histograms if $11 says so, are bytes that may stand one after the other.
SELECT place,
       grp,
       count(*) AS rows,
       string_agg(sums, '') AS sums,
       string_agg(histograms, '') FILTER (WHERE $11) AS histograms
FROM (
    SELECT ($3::integer[])[at] AS place, m.grp, r.sums, r.histograms
    FROM unnest($4::bigint[], $5::integer[]) AS m (series_id, grp)
    CROSS JOIN unnest($7::integer[], $8::integer[]) AS span (began, ended)
    -- along the index of each series, whatever the planner expects
    CROSS JOIN LATERAL (
        SELECT *
        FROM rollups
        WHERE level = $6
          AND series_id = m.series_id
          AND bucket >= span.began AND bucket < span.ended
          AND bucket >= $9 AND bucket < $10
        OFFSET 0
    ) AS r
    CROSS JOIN LATERAL width_bucket(r.bucket, $1::integer[]) AS at
    WHERE r.bucket < ($2::integer[])[at]
    LIMIT $12::bigint
) AS cells
GROUP BY place, grp
