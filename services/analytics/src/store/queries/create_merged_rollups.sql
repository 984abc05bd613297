-- Where rollups wait until they replace older ones. Belongs to the connection,
-- and is empty at the beginning of each transaction.
SET LOCAL client_min_messages = warning;
CREATE TEMPORARY TABLE IF NOT EXISTS merged_rollups (LIKE rollups)
WITH (toast_tuple_target = 8160)
ON COMMIT DELETE ROWS
