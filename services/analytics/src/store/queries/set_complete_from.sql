-- The rollups of a width ($1) are complete from $2 on.
UPDATE rollup_levels SET complete_from = $2 WHERE width = $1
