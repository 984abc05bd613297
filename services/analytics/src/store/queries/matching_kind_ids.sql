-- Of the ids given, those that stand for the kind given with them. The others
-- belong to kinds with the same hash.
SELECT k.kind_id
FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[])
     AS given (kind_id, replica_id, method, path, model_requested, service_tier, finish_reason,
               provider, price_version)
JOIN kinds k ON k.kind_id = given.kind_id
WHERE k.replica_id = given.replica_id
  AND k.method = given.method
  AND k.path = given.path
  AND k.model_requested IS NOT DISTINCT FROM given.model_requested
  AND k.service_tier IS NOT DISTINCT FROM given.service_tier
  AND k.finish_reason IS NOT DISTINCT FROM given.finish_reason
  AND k.provider IS NOT DISTINCT FROM given.provider
  AND k.price_version IS NOT DISTINCT FROM given.price_version
