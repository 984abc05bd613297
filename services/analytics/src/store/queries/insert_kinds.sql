-- Adds the kinds that are not there.
INSERT INTO kinds (kind_id, replica_id, method, path, model_requested, service_tier,
                   finish_reason, provider, price_version)
SELECT *
FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[])
ON CONFLICT (kind_id) DO NOTHING
RETURNING kind_id
