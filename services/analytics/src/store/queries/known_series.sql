-- Of some ids, those that are taken.
SELECT series_id FROM series WHERE series_id = ANY ($1::bigint[])
