-- Deletes what waits for the sums of sessions that lost requests.
DELETE FROM session_changes WHERE session_id = ANY ($1::bigint[])
