-- Whether no other process is changing `rollups`; none will until the end of the
-- transaction.
SELECT pg_try_advisory_xact_lock(hashtext('modash.rollups'))
