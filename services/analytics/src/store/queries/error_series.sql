-- What errors of series $1 are grouped by; in the order of $1.
SELECT coalesce(s.model, '') AS model, s.upstream, s.client_key
FROM unnest($1::bigint[]) WITH ORDINALITY AS given (series_id, place)
JOIN series s ON s.series_id = given.series_id
ORDER BY given.place
