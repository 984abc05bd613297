-- Forgets what was not heard of since a moment.
DELETE FROM replica_runs WHERE reported_at < $1 AND process_started_at < $1
