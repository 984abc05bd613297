-- From when on the rollups of each level are complete, the day before which requests were
-- dropped, if any were, and the writes to rollups.
SELECT (SELECT array_agg(level ORDER BY level) FROM rollup_levels),
       (SELECT array_agg(complete_from ORDER BY level) FROM rollup_levels),
       (SELECT max(before) FROM dropped_days WHERE subject = 'requests'),
       (SELECT array_agg(number ORDER BY oldest) FROM rollup_writes),
       (SELECT array_agg(oldest ORDER BY oldest) FROM rollup_writes)
