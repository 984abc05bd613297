-- The day before which requests were dropped, if any were.
SELECT max(before) FROM dropped_days WHERE subject = 'requests'
