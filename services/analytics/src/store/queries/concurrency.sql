-- Requests in flight in a range ($1, $2) by bucket and group, mean and maximum;
-- requests that began before the range count while they run. Parameters as in
-- requests.sql. A request of more than a day is not looked for. $15: the most
-- requests to look at; how many they were is part of the answer.
WITH spans AS MATERIALIZED (
    SELECT coalesce(CASE $12::smallint
               WHEN 1 THEN s.model
               WHEN 2 THEN s.upstream
               WHEN 3 THEN r.outcome::text
               WHEN 4 THEN s.client_key
               WHEN 5 THEN s.user_name
               WHEN 6 THEN s.operation::text
               WHEN 7 THEN s.user_agent_family
               WHEN 8 THEN s.dialect
               WHEN 9 THEN r.session
               WHEN 10 THEN r.error_type
               WHEN 100 THEN s.tags ->> $13::text
           END, '') AS key,
           greatest(r.started_at, $1) AS began,
           least(r.started_at + r.duration_us * interval '1 microsecond', $2) AS ended
    FROM requests r
    JOIN series s ON s.series_id = r.series_id
    WHERE r.started_at >= $1::timestamptz - interval '1 day' AND r.started_at < $2
      -- the second half is the index requests_long
      AND (r.started_at >= $1::timestamptz - interval '10 minutes'
           OR r.duration_us > 600000000)
      AND r.duration_us > 0
      -- those that call no model are in no group of models
      AND ($12::smallint <> 1 OR NOT s.calls_no_model)
      AND r.started_at + r.duration_us * interval '1 microsecond' > $1
      AND ($3::bigint[] IS NULL OR r.series_id = ANY ($3))
      AND ($4::smallint[] IS NULL OR r.outcome = ANY ($4))
      AND ($5::text[] IS NULL
           -- the second half is the index requests_session
           OR r.session = ANY ($5)
              AND hashtextextended(r.session, 0)
                  = ANY (ARRAY(SELECT hashtextextended(s, 0) FROM unnest($5) AS s)))
      AND ($6::uuid[] IS NULL OR r.trace_id = ANY ($6))
      AND ($7::smallint[] IS NULL OR r.outcome <> ALL ($7))
      AND ($8::text[] IS NULL OR r.session IS NULL OR r.session <> ALL ($8))
      AND ($9::bigint IS NULL OR r.prompt_tokens >= $9)
      AND ($10::bigint IS NULL OR r.prompt_tokens <= $10)
    LIMIT $15::bigint
),
-- +1 where a request begins, -1 where it ends; 0 where a bucket begins, so that
-- it has what then runs
changes AS (
    SELECT key, began AS at, 1 AS change FROM spans WHERE key = ANY ($14::text[])
    UNION ALL
    SELECT key, ended, -1 FROM spans WHERE key = ANY ($14::text[])
    UNION ALL
    SELECT key, greatest(at, $1), 0
    FROM unnest($14::text[]) AS key, unnest($11::timestamptz[]) AS at
),
-- changes of one moment are summed up together: the default frame of a window
levels AS (
    SELECT key,
           at,
           sum(change) OVER by_key AS running,
           lead(at, 1, $2) OVER by_key AS until
    FROM changes
    WINDOW by_key AS (PARTITION BY key ORDER BY at)
)
SELECT key,
       width_bucket(at, $11::timestamptz[]) AS bucket,
       max(running) AS most,
       -- date_part counts in double precision, extract in numeric: far slower
       sum(running * date_part('epoch', until - at))
           / date_part('epoch', max(until) - min(at)) AS mean,
       (SELECT count(*) FROM spans) AS read
FROM levels
WHERE at < $2
GROUP BY key, bucket
