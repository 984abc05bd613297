-- Adds the dimension sets that are not there.
INSERT INTO series (series_id, model, upstream, dialect, operation, stream,
                    client_key, user_name, user_agent_family, tags, cube,
                    generating, calls_no_model)
SELECT *
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::smallint[],
            $6::boolean[], $7::text[], $8::text[], $9::text[], $10::jsonb[], $11::smallint[],
            $12::boolean[], $13::boolean[])
ON CONFLICT (series_id) DO NOTHING
RETURNING series_id
