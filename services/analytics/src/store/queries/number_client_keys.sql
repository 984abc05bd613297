-- Numbers client keys by their series ($1), those that have no number yet.
INSERT INTO client_key_numbers (series_id, number)
SELECT s.series_id,
       (SELECT coalesce(max(number), 0) FROM client_key_numbers)
           + row_number() OVER (ORDER BY s.series_id)
FROM series s
WHERE s.series_id = ANY ($1::bigint[]) AND s.client_key IS NOT NULL
  AND NOT EXISTS (SELECT FROM client_key_numbers n WHERE n.series_id = s.series_id)
