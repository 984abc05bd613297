-- Makes the notice of a share, unless one is in force.
INSERT INTO budget_notices (
    notice_id, budget_id, share, reached_at, period_start, period_end, spent, in_force,
    delivery, next_attempt_at, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, true, $8::smallint, $9, $10)
ON CONFLICT (budget_id, share) WHERE in_force DO NOTHING
RETURNING notice_id
