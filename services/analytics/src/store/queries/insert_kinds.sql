-- Adds the kinds that are not there.
INSERT INTO kinds (kind_id, replica_id, method, path, model_requested, service_tier,
                   finish_reason)
SELECT *
FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (kind_id) DO NOTHING
RETURNING kind_id
