-- Removes the rollups of weeks from the bucket $1 to before $2.
DELETE FROM rollups WHERE level = 604800 AND bucket >= $1 AND bucket < $2
