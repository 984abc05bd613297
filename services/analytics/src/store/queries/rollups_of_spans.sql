-- As sums_of_spans.sql, and histograms, which the index does not have.
SELECT m.grp, r.bucket, r.sums, r.histograms
FROM unnest($3::bigint[], $4::integer[]) AS m (series_id, grp)
CROSS JOIN unnest($1::integer[], $2::integer[]) AS s (began, ended)
CROSS JOIN LATERAL (
    SELECT bucket, sums, histograms
    FROM rollups
    WHERE level = $5
      AND series_id = m.series_id
      AND bucket >= s.began AND bucket < s.ended
      AND bucket >= $6 AND bucket < $7
    OFFSET 0
) AS r
LIMIT $8::bigint
