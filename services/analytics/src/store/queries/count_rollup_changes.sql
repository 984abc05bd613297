-- How many changes wait, counted up to $1.
SELECT count(*) FROM (SELECT FROM rollup_changes LIMIT $1::bigint) AS changes
