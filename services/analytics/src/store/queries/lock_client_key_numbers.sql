-- Only one process at a time numbers client keys, so that numbers follow each other.
SELECT pg_advisory_xact_lock(hashtext('modash.client_key_numbers'))
