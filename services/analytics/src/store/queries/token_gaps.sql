-- Gaps between content events of a selection ($1 to $5), as stored, with bucket
-- and group. Parameters as in throughput_timeseries.sql.
SELECT key, bucket, token_gaps
FROM (
    SELECT width_bucket(r.started_at, $6::timestamptz[]) AS bucket,
           coalesce(CASE $7::smallint
               WHEN 1 THEN s.model
               WHEN 2 THEN s.upstream
               WHEN 3 THEN r.outcome::text
               WHEN 4 THEN s.client_key
               WHEN 5 THEN s.user_name
               WHEN 100 THEN s.tags ->> $8::text
           END, '') AS key,
           r.token_gaps
    FROM requests r
    JOIN series s ON s.series_id = r.series_id
    WHERE r.started_at >= $1 AND r.started_at < $2
      AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
      AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
      AND ($5::text[] IS NULL OR r.session = ANY ($5))
      AND r.token_gaps IS NOT NULL
) gaps
WHERE key = ANY ($9::text[])
