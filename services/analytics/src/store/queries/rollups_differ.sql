-- Whether the day from $1 to before $2 has another number of requests than its
-- rollups say ($3: the series of everything). NULL: they are not complete yet.
SELECT CASE WHEN EXISTS (
           SELECT FROM rollup_levels WHERE width = 86400 AND complete_from <= $1)
       THEN (SELECT count(*) FROM requests WHERE started_at >= $1 AND started_at < $2)
            <> coalesce((SELECT sum(requests) FROM rollups
                         WHERE width = 86400 AND bucket = $1 AND series_id = $3), 0)
             + coalesce((SELECT sum(requests) FROM rollup_changes
                         WHERE bucket >= $1 AND bucket < $2 AND series_id = $3), 0)
       END
