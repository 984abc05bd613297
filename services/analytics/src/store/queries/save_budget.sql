-- Saves a budget in place of the one with its id; a new one only while there are fewer
-- than $12. Its state is as before, and who saves it has claimed it. Gives no row if
-- there are that many.
INSERT INTO budgets (
    budget_id, name, filter, calendar, rolling_seconds, time_zone, unit, amount, shares,
    webhook_url, webhook_secret, due_at, claimed_at)
SELECT $1, $2, $3, $4::smallint, $5::bigint, $6, $7::smallint, $8::bigint, $9::integer[],
    $10, $11, clock_timestamp(), clock_timestamp()
WHERE (SELECT count(*) FROM budgets WHERE budget_id <> $1) < $12::bigint
ON CONFLICT (budget_id) DO UPDATE SET
    name = excluded.name, filter = excluded.filter, calendar = excluded.calendar,
    rolling_seconds = excluded.rolling_seconds, time_zone = excluded.time_zone,
    unit = excluded.unit, amount = excluded.amount, shares = excluded.shares,
    webhook_url = excluded.webhook_url, webhook_secret = excluded.webhook_secret,
    due_at = excluded.due_at, claimed_at = excluded.claimed_at
RETURNING *
