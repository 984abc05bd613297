-- Writes the newest states of requests as the telling $2 of the replica $1. A
-- request whose proxy came over from another replica is this one's from now on.
INSERT INTO live_requests (event_id, instance, version, ended_at, request)
SELECT id, $1, $2, CASE WHEN ended THEN now() END, request
FROM unnest($3::uuid[], $4::boolean[], $5::bytea[]) AS told (id, ended, request)
ON CONFLICT (event_id) DO UPDATE
SET instance = excluded.instance, version = excluded.version,
    ended_at = excluded.ended_at, request = excluded.request
