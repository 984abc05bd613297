-- Writes merged rollups, in place of older ones where there are some.
INSERT INTO rollups (series_id, bucket, level, sums, histograms, errors)
SELECT series_id, bucket, level, sums, histograms, errors
FROM merged_rollups
ON CONFLICT (series_id, bucket, level) DO UPDATE SET
    sums = excluded.sums,
    histograms = excluded.histograms,
    errors = excluded.errors
