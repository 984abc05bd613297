-- How many requests a selection ($1 to $5) has.
SELECT count(*)
FROM requests r
WHERE r.started_at >= $1 AND r.started_at < $2
  AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
  AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
  AND ($5::text[] IS NULL OR r.session = ANY ($5))
