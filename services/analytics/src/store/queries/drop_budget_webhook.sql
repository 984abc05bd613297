-- Gives up the notices of a budget that are still to be sent.
UPDATE budget_notices
SET delivery = $2::smallint, next_attempt_at = NULL, last_error = $3
WHERE budget_id = $1 AND next_attempt_at IS NOT NULL
