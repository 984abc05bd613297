-- Single requests of a selection ($1 to $5), oldest first.
SELECT r.*, s.model, s.upstream, s.dialect, s.operation, s.stream, s.client_key,
       s.user_name, s.user_agent_family, s.tags
FROM requests r
JOIN series s ON s.series_id = r.series_id
WHERE r.started_at >= $1 AND r.started_at < $2
  AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
  AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
  AND ($5::text[] IS NULL OR r.session = ANY ($5))
ORDER BY r.started_at, r.event_id
