-- What the replica $1 told after its telling $2.
SELECT event_id, version, request
FROM live_requests
WHERE instance = $1 AND version > $2
