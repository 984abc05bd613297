-- Gives a name in place of the one before; a new one only while there are fewer than $4.
-- Gives no row if there are that many.
INSERT INTO names (kind, id, name)
SELECT $1::smallint, $2, $3
WHERE (SELECT count(*) FROM names WHERE (kind, id) <> ($1::smallint, $2)) < $4::bigint
ON CONFLICT (kind, id) DO UPDATE SET name = excluded.name
RETURNING id
