-- Removes the rollups of the buckets from $1 to before $2.
DELETE FROM rollups WHERE bucket >= $1 AND bucket < $2
