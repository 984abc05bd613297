-- Rollups of a level ($6) by segment of time and series, each pair looked up on its
-- own: the segments have starts $1, ends $2 and places $3 in the answer, and lie
-- from $7 to before $8; series $4 belong to groups $5. Sums, and histograms if $9
-- says so, are bytes that may stand one after the other.
SELECT s.place, m.grp, r.rows, r.sums, r.histograms
FROM unnest($4::bigint[], $5::integer[]) AS m (series_id, grp)
CROSS JOIN unnest($1::integer[], $2::integer[], $3::integer[]) AS s (began, ended, place)
CROSS JOIN LATERAL (
    SELECT count(*) AS rows,
           string_agg(sums, '') AS sums,
           -- so written, they are not even read if not wanted
           string_agg(CASE WHEN $9 THEN histograms END, '') AS histograms
    FROM rollups
    WHERE level = $6
      AND series_id = m.series_id
      AND bucket >= s.began AND bucket < s.ended
      -- tells which partitions there are
      AND bucket >= $7 AND bucket < $8
) AS r
WHERE r.rows > 0
