-- For statements about single requests, until the end of the transaction: their
-- plans depend on which filters there are, and they may sort.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('enable_sort', 'on', true)
