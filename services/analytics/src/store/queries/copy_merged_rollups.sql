-- Takes merged rollups over.
COPY merged_rollups (series_id, bucket, level, sums, histograms, errors)
FROM STDIN (FORMAT binary)
