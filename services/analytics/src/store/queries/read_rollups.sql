-- The rollups of some keys (series $1 and bucket $2, in parallel lists) of a level
-- ($3). $4 and $5: the first bucket and the last one.
SELECT r.series_id, r.bucket, r.sums, r.histograms, r.errors
FROM unnest($1::bigint[], $2::integer[]) AS k (series_id, bucket)
-- one look-up after the other, whatever the planner expects
CROSS JOIN LATERAL (
    SELECT *
    FROM rollups
    WHERE level = $3 AND series_id = k.series_id AND bucket = k.bucket
      AND bucket BETWEEN $4 AND $5
    OFFSET 0
) AS r
