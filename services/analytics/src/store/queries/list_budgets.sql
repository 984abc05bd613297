-- Budgets by name, $1 at most.
SELECT * FROM budgets ORDER BY name LIMIT $1::bigint
