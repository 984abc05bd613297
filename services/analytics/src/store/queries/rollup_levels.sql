-- From when on the rollups of each width are complete.
SELECT width, complete_from FROM rollup_levels
