-- Deletes the notices of a budget.
DELETE FROM budget_notices WHERE budget_id = $1
