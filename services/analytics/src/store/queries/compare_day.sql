-- How many requests the day from $1 to before $2 has, and the sums of its rollups
-- ($3: the series of everything, $4 and $5: the same day in minutes). NULL: they
-- are not complete yet.
SELECT CASE WHEN EXISTS (
           SELECT FROM rollup_levels WHERE level = 86400 AND complete_from <= $1)
       THEN (SELECT count(*) FROM requests WHERE started_at >= $1 AND started_at < $2)
       END,
       (SELECT string_agg(sums, '')
        FROM (SELECT sums FROM rollups
              WHERE level = 86400 AND bucket = $4 AND series_id = $3
              UNION ALL
              SELECT sums FROM rollup_changes
              WHERE bucket >= $4 AND bucket < $5 AND series_id = $3) AS day)
