-- The newest $1 notices of each budget, or where $2 is an id of that one, newest first.
SELECT notice_id, budget_id, share, reached_at, period_start, period_end, spent, delivery,
    attempts, delivered_at, next_attempt_at, last_error
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY budget_id ORDER BY reached_at DESC, share DESC
    ) AS place
    FROM budget_notices
    WHERE $2::uuid IS NULL OR budget_id = $2
) AS ranked
WHERE place <= $1::bigint
ORDER BY budget_id, place
