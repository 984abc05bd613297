-- From when on the rollups of each level are complete, and the day before which
-- requests were dropped, if any were.
SELECT level,
       complete_from,
       (SELECT max(before) FROM dropped_days WHERE subject = 'requests')
FROM rollup_levels
