-- The lives of all proxies, those heard of last first.
SELECT replica_id, process_started_at, version, reported_at, reported,
       committed, duplicate, rejected
FROM replica_runs
ORDER BY reported_at DESC, replica_id, process_started_at DESC
LIMIT 10000
