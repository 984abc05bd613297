-- Takes away at most $1 changes, those of the oldest minutes: proxies that catch up
-- add to one minute in many commits, and what is taken together is written once.
DELETE FROM rollup_changes
WHERE ctid = ANY (ARRAY(SELECT ctid FROM rollup_changes ORDER BY bucket LIMIT $1::bigint))
RETURNING level, series_id, bucket, sums, histograms, errors
