-- Keeps the last report of each proxy; an older one changes nothing.
INSERT INTO replica_runs (
    replica_id, process_started_at, version, reported_at, reported,
    committed, duplicate, rejected)
SELECT replica_id, process_started_at, version, reported_at, reported, 0, 0, 0
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[], $5::bytea[])
     AS report (replica_id, process_started_at, version, reported_at, reported)
ORDER BY replica_id, process_started_at
ON CONFLICT (replica_id, process_started_at) DO UPDATE
SET version = excluded.version,
    reported_at = excluded.reported_at,
    reported = excluded.reported
WHERE replica_runs.reported_at < excluded.reported_at
