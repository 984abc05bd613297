-- Rates and waiting times of a selection ($1 to $5) by bucket and group. $6:
-- starts of the buckets; $7 and $8: grouping, tag; $9: the groups.
SELECT cells.key,
       cells.bucket,
       count(*) AS requests,
       least(coalesce(sum(completion_tokens), 0), 9223372036854775807)::bigint AS completion_tokens,
       count(decode_rate) AS requests_with_decode,
       count(prefill_rate) AS requests_with_prefill,
       count(first_token_us) AS requests_with_first_token,
       percentile_cont(ARRAY[0.05, 0.5, 0.95]) WITHIN GROUP (ORDER BY decode_rate) AS decode_rate,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY prefill_rate) AS prefill_rate,
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY first_token_us) AS first_token_us
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
           r.completion_tokens,
           r.decode_tokens_per_second AS decode_rate,
           r.prefill_tokens_per_second AS prefill_rate,
           r.first_token_us
    FROM requests r
    JOIN series s ON s.series_id = r.series_id
    WHERE r.started_at >= $1 AND r.started_at < $2
      AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
      AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
      AND ($5::text[] IS NULL OR r.session = ANY ($5))
) cells
WHERE cells.key = ANY ($9::text[])
GROUP BY cells.key, cells.bucket
