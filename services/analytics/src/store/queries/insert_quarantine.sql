-- Keeps events that can never be stored.
INSERT INTO quarantine (quarantine_id, received_at, replica_id, event_id, reason, event)
SELECT id, now(), replica_id, event_id, reason, event
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[])
     AS refused (id, replica_id, event_id, reason, event)
