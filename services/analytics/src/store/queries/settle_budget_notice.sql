-- Keeps what became of an attempt, unless a later one has begun, which matters only if
-- this one failed.
UPDATE budget_notices
SET delivery = $3::smallint,
    delivered_at = CASE WHEN $3 = 3 THEN clock_timestamp() END,
    next_attempt_at = clock_timestamp() + make_interval(secs => $4),
    last_error = coalesce($5, last_error)
WHERE notice_id = $1 AND next_attempt_at IS NOT NULL AND ($3 = 3 OR attempts = $2)
