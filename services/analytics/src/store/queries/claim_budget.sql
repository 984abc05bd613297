-- Takes a budget that is to be computed and that no other replica computes, unless it
-- began more than $1 seconds ago. The moment of the claim is the database's, so that the
-- clocks of replicas do not matter.
UPDATE budgets SET claimed_at = clock_timestamp()
WHERE budget_id = (
    SELECT budget_id FROM budgets
    WHERE due_at <= clock_timestamp()
        AND (claimed_at IS NULL OR claimed_at < clock_timestamp() - make_interval(secs => $1))
    ORDER BY due_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING *
