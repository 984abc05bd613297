-- Settings of a new connection, as a statement and not as start-up options,
-- which connection poolers refuse. Plans are made for the values at hand:
-- partitions are then left out when planning, and filters that are NULL cost
-- nothing. Compiling a plan takes longer than these statements do. Percentiles sort:
-- in memory, if that is some megabytes.
SELECT set_config('statement_timeout', $1, false),
       set_config('default_transaction_read_only', $2, false),
       set_config('plan_cache_mode', 'force_custom_plan', false),
       set_config('jit', 'off', false),
       set_config('work_mem', '16MB', false),
       set_config('TimeZone', 'UTC', false)
