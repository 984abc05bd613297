-- Adds to what became of the events of proxies.
INSERT INTO replica_runs (
    replica_id, process_started_at, version, reported_at, reported,
    committed, duplicate, rejected)
SELECT replica_id, process_started_at, '', to_timestamp(0), '', committed, duplicate, rejected
FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[])
     AS counted (replica_id, process_started_at, committed, duplicate, rejected)
ORDER BY replica_id, process_started_at
ON CONFLICT (replica_id, process_started_at) DO UPDATE
SET committed = replica_runs.committed + excluded.committed,
    duplicate = replica_runs.duplicate + excluded.duplicate,
    rejected = replica_runs.rejected + excluded.rejected
