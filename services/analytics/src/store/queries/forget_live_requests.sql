-- Forgets replicas that are gone, with their requests, and what ended long ago
-- at the replica $1.
WITH gone AS (
    DELETE FROM live_replicas WHERE lease_until < now() RETURNING instance
)
DELETE FROM live_requests
WHERE instance IN (SELECT instance FROM gone)
   OR instance = $1 AND ended_at < now() - interval '30 seconds'
