-- Keeps what was computed, if the budget is as it was at the claim. It is due again in
-- $3 seconds.
UPDATE budgets
SET computed_at = $2, claimed_at = NULL,
    due_at = clock_timestamp() + make_interval(secs => $3),
    period_start = $4, period_end = $5, spent = $6, unknown_requests = $7,
    estimated_requests = $8, projected = $9, problem = ''
WHERE budget_id = $1 AND claimed_at = $2
RETURNING budget_id
