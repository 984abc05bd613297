-- Sums of a level ($5) by series and span of time, row by row: the spans have starts $1 and
-- ends $2, and lie from $6 to before $7; series $3 belong to groups $4.
SELECT m.grp, r.buckets, r.sums
FROM unnest($3::bigint[], $4::integer[]) AS m (series_id, grp)
CROSS JOIN unnest($1::integer[], $2::integer[]) AS s (began, ended)
CROSS JOIN LATERAL (
    SELECT array_agg(bucket) AS buckets, array_agg(sums) AS sums
    FROM rollups
    WHERE level = $5
      AND series_id = m.series_id
      AND bucket >= s.began AND bucket < s.ended
      -- tells which partitions there are
      AND bucket >= $6 AND bucket < $7
) AS r
WHERE r.buckets IS NOT NULL
