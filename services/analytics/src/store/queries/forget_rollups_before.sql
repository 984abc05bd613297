-- Rollups of a width ($1) are kept from $2 on only.
UPDATE rollup_levels SET complete_from = $2 WHERE width = $1 AND complete_from < $2
