-- Single requests are found by an index and sorted, where that is better.
SELECT set_config('enable_sort', 'on', true)
