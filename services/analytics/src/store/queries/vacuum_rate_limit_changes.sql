-- Frees what was moved into `rate_limit_buckets`.
VACUUM (SKIP_LOCKED) rate_limit_changes
