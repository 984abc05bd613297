-- Where a budget sends its notices. Nobody changes it until the transaction ends.
SELECT webhook_url, webhook_secret FROM budgets WHERE budget_id = $1 FOR UPDATE
