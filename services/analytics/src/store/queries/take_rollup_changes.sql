-- Takes away at most $1 changes.
DELETE FROM rollup_changes
WHERE ctid = ANY (ARRAY(SELECT ctid FROM rollup_changes LIMIT $1::bigint))
RETURNING level, series_id, bucket, sums, histograms
