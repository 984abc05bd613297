-- Writes merged rollups in place of older ones.
SELECT write_merged_rollups()
