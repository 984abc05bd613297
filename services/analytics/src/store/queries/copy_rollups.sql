-- Adds rollups where there are none.
COPY rollups (series_id, bucket, level, sums, histograms, errors)
FROM STDIN (FORMAT binary)
