-- Deletes a budget.
DELETE FROM budgets WHERE budget_id = $1
