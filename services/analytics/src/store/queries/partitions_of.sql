-- Partitions of the table $2 that begin with a day, in their order; none if there
-- is no such table. Rows are the planner's
-- estimate (rows a page when last analyzed, by the pages of now), or counted if
-- $1 says so or no estimate was ever made.
SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day,
       CASE
           WHEN pg_relation_size(c.oid) = 0 THEN 0
           WHEN $1 OR c.reltuples < 0 OR c.relpages = 0 THEN
               (xpath('/row/rows/text()', query_to_xml(
                   format('SELECT count(*) AS rows FROM %s', c.oid::regclass),
                   false, true, '')))[1]::text::bigint
           ELSE (c.reltuples / c.relpages * pg_relation_size(c.oid)
                 / current_setting('block_size')::bigint)::bigint
       END AS rows,
       pg_total_relation_size(c.oid) AS bytes
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($2)
  AND c.relname ~ '_[0-9]{8}$'
ORDER BY day
