-- Forgets what was stated of rate limits before the bucket $1, and limits of which nothing
-- is left.
WITH forgotten AS (
    DELETE FROM rate_limit_buckets WHERE bucket < $1::integer
    RETURNING limit_id
)
DELETE FROM rate_limits l
WHERE l.limit_id IN (SELECT limit_id FROM forgotten)
  AND NOT EXISTS (
      SELECT FROM rate_limit_buckets b WHERE b.limit_id = l.limit_id AND b.bucket >= $1)
