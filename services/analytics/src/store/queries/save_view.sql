-- Saves a view in place of the one with its name; a new one only while there are
-- fewer than $4. Gives no row if there are that many.
INSERT INTO views (name, path, saved_at)
SELECT $1, $2, $3::timestamptz
WHERE (SELECT count(*) FROM views WHERE name <> $1) < $4::bigint
ON CONFLICT (name) DO UPDATE SET path = excluded.path, saved_at = excluded.saved_at
RETURNING name
