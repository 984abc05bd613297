-- Ends the notices of a budget whose share is above $2, and where $3 is a start of a
-- period those of other periods.
UPDATE budget_notices SET in_force = false
WHERE budget_id = $1 AND in_force AND (share > $2::integer OR period_start <> $3)
