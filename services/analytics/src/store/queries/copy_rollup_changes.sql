-- Notes what a commit adds to the rollups.
COPY rollup_changes (series_id, bucket, level, sums, histograms, errors)
FROM STDIN (FORMAT binary)
