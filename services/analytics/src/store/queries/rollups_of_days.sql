-- The rollups of days of narrow sets from the bucket $1 to before $2, in the order of time.
SELECT series_id, bucket, sums, histograms, errors
FROM rollups
WHERE level = 86400 AND bucket >= $1 AND bucket < $2
ORDER BY bucket
