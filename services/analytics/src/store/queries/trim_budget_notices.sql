-- Keeps the newest $2 notices of a budget, those in force and those to be sent.
DELETE FROM budget_notices
WHERE NOT in_force AND next_attempt_at IS NULL AND notice_id IN (
    SELECT notice_id FROM budget_notices
    WHERE budget_id = $1
    ORDER BY reached_at DESC, share DESC
    OFFSET $2::bigint
)
