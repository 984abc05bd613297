-- Rollups of a level ($1) are kept from $2 on only.
UPDATE rollup_levels SET complete_from = $2 WHERE level = $1 AND complete_from < $2
