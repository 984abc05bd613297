-- The dimension sets that pass a filter. NULL lets all pass; the empty text
-- stands for requests that had no such value.
SELECT series_id
FROM series
WHERE ($1::text[] IS NULL OR coalesce(model, '') = ANY ($1))
  AND ($2::text[] IS NULL OR upstream = ANY ($2))
  AND ($3::text[] IS NULL OR dialect = ANY ($3))
  AND ($4::smallint[] IS NULL OR operation = ANY ($4))
  AND ($5::text[] IS NULL OR coalesce(client_key, '') = ANY ($5))
  AND ($6::text[] IS NULL OR coalesce(user_name, '') = ANY ($6))
  AND ($7::jsonb IS NULL OR tags @> $7)
  AND ($8::boolean IS NULL OR stream = $8)
