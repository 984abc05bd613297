-- Errors among the changes of the minutes from $1 to before $2 that are not in the
-- rollups yet, of series $3.
SELECT series_id, bucket, errors
FROM rollup_changes
WHERE bucket >= $1 AND bucket < $2
  AND series_id = ANY ($3::bigint[])
  AND errors IS NOT NULL
