-- Keeps the newest $1 marks.
DELETE FROM marks
WHERE mark_id IN (SELECT mark_id FROM marks ORDER BY mark_id DESC OFFSET $1::bigint)
