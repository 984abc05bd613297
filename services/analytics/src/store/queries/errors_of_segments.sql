-- Errors in the rollups of a level ($4) of series $3, in segments of time with starts $1
-- and ends $2, which lie from $5 to before $6. Place: that of the series in $3. Errors
-- are bytes that may stand one after the other.
SELECT m.place::integer, r.rows, r.errors
FROM unnest($3::bigint[]) WITH ORDINALITY AS m (series_id, place)
CROSS JOIN unnest($1::integer[], $2::integer[]) AS s (began, ended)
CROSS JOIN LATERAL (
    SELECT count(*) AS rows, string_agg(errors, '') AS errors
    FROM rollups
    WHERE level = $4
      AND series_id = m.series_id
      AND bucket >= s.began AND bucket < s.ended
      -- tells which partitions there are
      AND bucket >= $5 AND bucket < $6
) AS r
WHERE r.rows > 0
