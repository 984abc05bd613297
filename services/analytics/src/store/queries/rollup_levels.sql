-- From when on the rollups of each level are complete, the day before which requests were
-- dropped, if any were, the writes to rollups, and which database this is: a server that was
-- started anew or another one may have other rollups under the same numbers, and so may
-- tables that were made anew.
SELECT (SELECT array_agg(level ORDER BY level) FROM rollup_levels),
       (SELECT array_agg(complete_from ORDER BY level) FROM rollup_levels),
       (SELECT max(before) FROM dropped_days WHERE subject = 'requests'),
       (SELECT array_agg(number ORDER BY oldest) FROM rollup_writes),
       (SELECT array_agg(oldest ORDER BY oldest) FROM rollup_writes),
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
       pg_relation_filenode('rollup_writes')::bigint
