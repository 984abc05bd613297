-- Saved views by name, $1 at most.
SELECT name, path, saved_at FROM views ORDER BY name LIMIT $1::bigint
