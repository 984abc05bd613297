-- The replicas that are alive, but one.
SELECT instance FROM live_replicas WHERE instance <> $1 AND lease_until >= now()
