-- Rollups of a level ($6) by bucket of the answer and group, where most of what
-- lies from $7 to before $8 is wanted. The buckets are segments of time with starts
-- $1, ends $2 and places $3; series $4 belong to groups $5. At most $10 rows are
-- read. Sums, and histograms if $9 says so, are bytes that may stand one after the
-- other.
SELECT place,
       grp,
       count(*) AS rows,
       string_agg(sums, '') AS sums,
       string_agg(histograms, '') AS histograms
FROM (
    SELECT ($3::integer[])[r.segment] AS place, m.grp, r.sums, r.histograms
    FROM unnest($4::bigint[], $5::integer[]) AS m (series_id, grp)
    -- along the index of each series, whatever the planner expects
    CROSS JOIN LATERAL (
        SELECT bucket, sums,
               -- so written, they are not even read if not wanted
               CASE WHEN $9 THEN histograms END AS histograms,
               width_bucket(bucket, $1::integer[]) AS segment
        FROM rollups
        WHERE level = $6 AND series_id = m.series_id AND bucket >= $7 AND bucket < $8
        OFFSET 0
    ) AS r
    WHERE r.bucket < ($2::integer[])[r.segment]
    LIMIT $10::bigint
) AS cells
GROUP BY place, grp
