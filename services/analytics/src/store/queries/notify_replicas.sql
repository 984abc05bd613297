-- Tells all replicas of analytics.
SELECT pg_notify($1, $2)
