-- Drops the partitions of rollups of a level ($1) that begin before a day; gives
-- how many.
SELECT drop_rollups_partitions($1, $2)
