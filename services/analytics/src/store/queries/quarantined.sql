-- The newest events that can never be stored.
SELECT received_at, replica_id, event_id, reason, encode(event, 'hex') AS event
FROM quarantine
ORDER BY quarantine_id DESC
LIMIT $1
