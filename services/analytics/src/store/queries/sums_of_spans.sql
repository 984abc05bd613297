-- Sums in the rollups of a level ($5) by series and bucket, of spans of time with starts $1
-- and ends $2 that lie from $6 to before $7; series $3 belong to groups $4. At most $8 rows.
SELECT m.grp, r.bucket, r.sums
FROM unnest($3::bigint[], $4::integer[]) AS m (series_id, grp)
CROSS JOIN unnest($1::integer[], $2::integer[]) AS s (began, ended)
-- along the index of each series, whatever the planner expects
CROSS JOIN LATERAL (
    SELECT bucket, sums
    FROM rollups
    WHERE level = $5
      AND series_id = m.series_id
      AND bucket >= s.began AND bucket < s.ended
      -- tells which partitions there are
      AND bucket >= $6 AND bucket < $7
    OFFSET 0
) AS r
LIMIT $8::bigint
