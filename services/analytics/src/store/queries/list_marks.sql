-- The newest marks of a range, oldest first, $3 at most.
SELECT mark_id, marked_at, text, link
FROM (
    SELECT mark_id, marked_at, text, link
    FROM marks
    WHERE marked_at >= $1 AND marked_at < $2
    ORDER BY marked_at DESC, mark_id DESC
    LIMIT $3::bigint
) AS newest
ORDER BY marked_at, mark_id
