-- Gives requests new costs. Texts stand in the row where it has no kind ($6).
UPDATE requests r
SET cost_nano_usd = u.cost_nano_usd, cache_saving_nano_usd = u.cache_saving_nano_usd,
    cost_source = u.cost_source, kind_id = u.kind_id, provider = u.provider,
    price_version = u.price_version, replica_id = u.replica_id, method = u.method,
    path = u.path, model_requested = u.model_requested, finish_reason = u.finish_reason,
    service_tier = u.service_tier
FROM unnest($1::timestamptz[], $2::uuid[], $3::bigint[], $4::bigint[], $5::smallint[],
            $6::integer[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
            $12::text[], $13::text[], $14::text[])
     AS u (started_at, event_id, cost_nano_usd, cache_saving_nano_usd, cost_source, kind_id,
           provider, price_version, replica_id, method, path, model_requested, finish_reason,
           service_tier)
WHERE r.started_at = u.started_at AND r.event_id = u.event_id
