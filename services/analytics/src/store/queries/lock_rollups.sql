-- Only one process at a time changes `rollups`; waits for its turn. Held until
-- the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('modash.rollups'))
