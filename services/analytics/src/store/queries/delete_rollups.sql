-- Removes the rollups of the buckets from $1 to before $2, but those of weeks.
DELETE FROM rollups WHERE bucket >= $1 AND bucket < $2 AND level <> 604800
