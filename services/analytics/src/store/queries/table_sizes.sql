-- Every table of the schema, its partitions added up, the largest first. Rows
-- are the planner's estimate (rows a page when last analyzed, by the pages of
-- now), or counted if $1 says so or no estimate was ever made.
SELECT root.relname::text AS name,
       count(*) FILTER (WHERE root.relkind = 'p') AS partitions,
       coalesce(sum(
           CASE
               WHEN pg_relation_size(leaf.oid) = 0 THEN 0
               WHEN $1 OR leaf.reltuples < 0 OR leaf.relpages = 0 THEN
                   (xpath('/row/rows/text()', query_to_xml(
                       format('SELECT count(*) AS rows FROM %s', leaf.oid::regclass),
                       false, true, '')))[1]::text::bigint
               ELSE (leaf.reltuples / leaf.relpages * pg_relation_size(leaf.oid)
                     / current_setting('block_size')::bigint)::bigint
           END), 0)::bigint AS rows,
       coalesce(sum(pg_table_size(leaf.oid)), 0)::bigint AS table_bytes,
       coalesce(sum(pg_indexes_size(leaf.oid)), 0)::bigint AS index_bytes
FROM pg_class root
LEFT JOIN LATERAL (
    SELECT t.relid FROM pg_partition_tree(root.oid) t WHERE t.isleaf AND root.relkind = 'p'
    UNION ALL
    SELECT root.oid WHERE root.relkind = 'r'
) member ON true
JOIN pg_class leaf ON leaf.oid = member.relid AND leaf.relkind = 'r'
WHERE root.relnamespace = current_schema()::regnamespace
  AND root.relkind IN ('r', 'p')
  AND NOT root.relispartition
GROUP BY root.oid, root.relname
ORDER BY sum(pg_total_relation_size(leaf.oid)) DESC, root.relname
