-- Requests of some models ($7) of a selection ($1 to $5) in each part of the
-- range; $6: starts of the parts.
SELECT coalesce(s.model, '') AS model,
       width_bucket(r.started_at, $6::timestamptz[]) AS part,
       count(*) AS requests
FROM requests r
JOIN series s ON s.series_id = r.series_id
WHERE r.started_at >= $1 AND r.started_at < $2
  AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
  AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
  AND ($5::text[] IS NULL OR r.session = ANY ($5))
  AND coalesce(s.model, '') = ANY ($7::text[])
GROUP BY 1, 2
