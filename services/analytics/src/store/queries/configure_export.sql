-- Rows shall leave as they are found: no sort of all of them, and no join that
-- loses their order.
SELECT set_config('enable_sort', 'off', true),
       set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true)
