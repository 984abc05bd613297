-- Client keys of series $1, with their numbers if they have one. Requests without a client
-- key are counted under a series too, which is none of these.
SELECT s.series_id, s.client_key, n.number
FROM series s
LEFT JOIN client_key_numbers n ON n.series_id = s.series_id
WHERE s.series_id = ANY ($1::bigint[]) AND s.client_key IS NOT NULL
