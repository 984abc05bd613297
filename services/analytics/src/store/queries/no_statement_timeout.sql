-- A day of requests may take longer than a statement of ingest.
SET LOCAL statement_timeout = 0
