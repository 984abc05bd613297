-- Keeps why a budget was not computed; what was computed before stays.
UPDATE budgets
SET claimed_at = NULL, due_at = clock_timestamp() + make_interval(secs => $3), problem = $4
WHERE budget_id = $1 AND claimed_at = $2
