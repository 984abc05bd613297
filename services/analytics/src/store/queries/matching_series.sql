-- The dimension sets of a cube ($9) that pass a filter, with the value of a
-- grouping ($10, tag $11); at most $12 of them. NULL lets all pass; the empty text stands for requests
-- that had no such value. Requests that call no model pass no filter by model, and their
-- value is NULL. $13 to $19 exclude values.
SELECT series_id,
       CASE WHEN $10::smallint <> 1 OR NOT calls_no_model
       THEN coalesce(CASE $10::smallint
           WHEN 1 THEN model
           WHEN 2 THEN upstream
           WHEN 4 THEN client_key
           WHEN 5 THEN user_name
           WHEN 6 THEN operation::text
           WHEN 7 THEN user_agent_family
           WHEN 8 THEN dialect
           WHEN 100 THEN tags ->> $11::text
       END, '') END AS key
FROM series
WHERE cube = $9
  AND ($1::text[] IS NULL
           OR coalesce(model, '') = ANY ($1) AND NOT calls_no_model)
  AND ($2::text[] IS NULL OR upstream = ANY ($2))
  AND ($3::text[] IS NULL OR dialect = ANY ($3))
  AND ($4::smallint[] IS NULL OR operation = ANY ($4))
  AND ($5::text[] IS NULL OR coalesce(client_key, '') = ANY ($5))
  AND ($6::text[] IS NULL OR coalesce(user_name, '') = ANY ($6))
  AND ($7::jsonb IS NULL OR tags @> $7)
  AND ($8::boolean IS NULL OR stream = $8)
  AND ($13::text[] IS NULL
           OR coalesce(model, '') <> ALL ($13)
           OR calls_no_model)
  AND ($14::text[] IS NULL OR upstream <> ALL ($14))
  AND ($15::text[] IS NULL OR dialect <> ALL ($15))
  AND ($16::smallint[] IS NULL OR operation <> ALL ($16))
  AND ($17::text[] IS NULL OR coalesce(client_key, '') <> ALL ($17))
  AND ($18::text[] IS NULL OR coalesce(user_name, '') <> ALL ($18))
  AND ($19::jsonb IS NULL
           OR NOT EXISTS (SELECT FROM jsonb_each_text($19) AS excluded
                          WHERE tags ->> excluded.key = excluded.value))
LIMIT $12::bigint
