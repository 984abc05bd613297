-- Makes the partition of rollups of a level ($1) from a day to before another.
SELECT create_rollups_partition($1, $2, $3)
