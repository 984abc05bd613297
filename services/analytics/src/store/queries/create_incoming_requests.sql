-- Where requests wait until it is known which of them are new. Belongs to the
-- connection, and is empty at the beginning of each transaction.
SET LOCAL client_min_messages = warning;
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_requests (LIKE requests)
ON COMMIT DELETE ROWS
