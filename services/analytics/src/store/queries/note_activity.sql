-- Notes that series ($1) had requests in buckets from $2 to $3, with weights $4.
-- Weights are logarithms; if $5, what was there is added, else the greater one
-- stays. Only series that are groups: not that of requests that call no model.
INSERT INTO series_activity AS known (series_id, weight, first_bucket, last_bucket, cube)
SELECT s.series_id, given.weight, given.first_bucket, given.last_bucket, s.cube
FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::double precision[])
     AS given (series_id, first_bucket, last_bucket, weight)
JOIN series s ON s.series_id = given.series_id
WHERE s.cube BETWEEN 2 AND 5 AND NOT s.calls_no_model
ON CONFLICT (series_id) DO UPDATE
SET first_bucket = least(known.first_bucket, excluded.first_bucket),
    last_bucket = greatest(known.last_bucket, excluded.last_bucket),
    weight = greatest(known.weight, excluded.weight)
        + CASE WHEN $5
              -- beyond 60 the smaller one adds nothing, and a power would underflow
              THEN ln(1 + 2 ^ -least(abs(known.weight - excluded.weight), 60)) / ln(2::float8)
              ELSE 0
          END
