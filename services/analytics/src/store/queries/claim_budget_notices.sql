-- Takes $1 notices that are due: no other replica sends them for $2 seconds. If this one
-- is killed meanwhile, another one sends them then.
WITH due AS (
    SELECT notice_id FROM budget_notices
    WHERE next_attempt_at <= clock_timestamp()
    ORDER BY next_attempt_at
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
)
UPDATE budget_notices AS n
SET attempts = n.attempts + 1,
    next_attempt_at = clock_timestamp() + make_interval(secs => $2)
FROM due JOIN budget_notices AS same USING (notice_id) JOIN budgets AS b USING (budget_id)
WHERE n.notice_id = due.notice_id
RETURNING n.notice_id, n.attempts, n.body, b.webhook_url, b.webhook_secret,
    extract(epoch FROM clock_timestamp() - n.reached_at)::double precision AS age_seconds
