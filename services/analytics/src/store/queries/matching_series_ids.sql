-- Of the ids given, those that stand for the dimension set given with them. The
-- others belong to sets with the same hash.
SELECT s.series_id
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::smallint[],
            $6::boolean[], $7::text[], $8::text[], $9::text[], $10::jsonb[], $11::smallint[],
            $12::boolean[], $13::boolean[])
     AS given (series_id, model, upstream, dialect, operation, stream,
               client_key, user_name, user_agent_family, tags, cube, generating, calls_no_model)
JOIN series s ON s.series_id = given.series_id
WHERE s.model IS NOT DISTINCT FROM given.model
  AND s.upstream = given.upstream
  AND s.dialect = given.dialect
  AND s.operation = given.operation
  AND s.stream = given.stream
  AND s.client_key IS NOT DISTINCT FROM given.client_key
  AND s.user_name IS NOT DISTINCT FROM given.user_name
  AND s.user_agent_family IS NOT DISTINCT FROM given.user_agent_family
  AND s.tags = given.tags
  AND s.cube = given.cube
