-- A replica is alive for $2 more seconds.
INSERT INTO live_replicas (instance, lease_until)
VALUES ($1, now() + $2::float8 * interval '1 second')
ON CONFLICT (instance) DO UPDATE SET lease_until = excluded.lease_until
