-- The sums of narrow sets by hour and more, next to each other for each series:
-- charts and rankings of months read them from here, some pages in place of a page
-- for each row, since in the table histograms lie between them.
CREATE INDEX rollups_3600_sums ON rollups_3600 (series_id, bucket) INCLUDE (level, sums);
CREATE INDEX rollups_21600_sums ON rollups_21600 (series_id, bucket) INCLUDE (level, sums);
CREATE INDEX rollups_86400_sums ON rollups_86400 (series_id, bucket) INCLUDE (level, sums);
