-- A day of requests may take longer than a statement of ingest, and whoever holds the lock
-- of the rollups waits for those who work under it.
SELECT set_config('statement_timeout', '0', true),
       set_config('idle_in_transaction_session_timeout', '0', true)
