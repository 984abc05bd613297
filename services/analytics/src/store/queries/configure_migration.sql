-- That the table of migrations is there already is no news.
SELECT set_config('client_min_messages', 'warning', false)
