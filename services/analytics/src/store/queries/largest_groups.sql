-- The $8 groups of a selection ($1 to $5) that had the most requests. $6 and $7:
-- grouping, tag.
SELECT coalesce(CASE $6::smallint
           WHEN 1 THEN s.model
           WHEN 2 THEN s.upstream
           WHEN 3 THEN r.outcome::text
           WHEN 4 THEN s.client_key
           WHEN 5 THEN s.user_name
           WHEN 100 THEN s.tags ->> $7::text
       END, '') COLLATE "C" AS key
FROM requests r
JOIN series s ON s.series_id = r.series_id
WHERE r.started_at >= $1 AND r.started_at < $2
  AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
  AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
  AND ($5::text[] IS NULL OR r.session = ANY ($5))
GROUP BY 1
ORDER BY count(*) DESC, 1
LIMIT $8::bigint
