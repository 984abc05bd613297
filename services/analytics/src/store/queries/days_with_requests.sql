-- First and last start of a range; both are found by the index.
SELECT min(started_at), max(started_at)
FROM requests
WHERE started_at >= $1 AND started_at < $2
