-- The budget with an id, or where $2 is a name the one of that name, and where it sends its
-- notices. Nobody changes it until the transaction ends.
SELECT budget_id, webhook_url, webhook_secret FROM budgets
WHERE budget_id = $1 OR name = $2
FOR UPDATE
