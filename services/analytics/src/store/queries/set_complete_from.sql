-- The rollups of a level ($1) are complete from $2 on.
UPDATE rollup_levels SET complete_from = $2 WHERE level = $1
