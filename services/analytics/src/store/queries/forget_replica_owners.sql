-- Forgets owners of replicas that were not heard of since a moment.
DELETE FROM replica_owners
WHERE spoke_at < $1
  AND NOT EXISTS (
      SELECT FROM replica_runs WHERE replica_runs.replica_id = replica_owners.replica_id
  )
