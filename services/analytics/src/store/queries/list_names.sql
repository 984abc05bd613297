-- Names by kind and id, $1 at most.
SELECT kind, id, name FROM names ORDER BY kind, id LIMIT $1::bigint
