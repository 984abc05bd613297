-- Deletes the sums of sessions that lost requests; those of the rest are added again.
DELETE FROM sessions WHERE session_id = ANY ($1::bigint[])
