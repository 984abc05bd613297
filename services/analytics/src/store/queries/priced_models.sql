-- The models of the stored requests by upstream and provider, most used first. Providers
-- are those of the newest requests of each.
SELECT coalesce(s.model, '') AS model, s.upstream, coalesce(r.provider, k.provider) AS provider,
       count(*) AS requests, max(r.started_at) AS last_started_at
FROM requests r
JOIN series s ON s.series_id = r.series_id
LEFT JOIN kinds k ON k.kind_id = r.kind_id
WHERE r.cost_source <> $1 AND NOT s.calls_no_model
GROUP BY 1, 2, 3
ORDER BY requests DESC, 1, 2, 3
