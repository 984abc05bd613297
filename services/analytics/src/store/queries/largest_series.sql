-- Of the series of a cube ($1), with the value of its grouping ($2): the $3 with the
-- greatest weight, and the $3 that were seen last.
SELECT s.series_id,
       coalesce(CASE $2::smallint
           WHEN 1 THEN s.model
           WHEN 2 THEN s.upstream
           WHEN 4 THEN s.client_key
           WHEN 5 THEN s.user_name
       END, '') AS key
FROM (
    (SELECT series_id FROM series_activity WHERE cube = $1 ORDER BY weight DESC LIMIT $3::bigint)
    UNION
    (SELECT series_id FROM series_activity WHERE cube = $1 ORDER BY last_bucket DESC LIMIT $3::bigint)
) AS largest
-- one look-up after the other, whatever the planner expects
CROSS JOIN LATERAL (SELECT * FROM series WHERE series_id = largest.series_id OFFSET 0) AS s
