-- One budget.
SELECT * FROM budgets WHERE budget_id = $1
