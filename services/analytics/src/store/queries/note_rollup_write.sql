-- Notes that rollups were written to, $1 being the oldest bucket of them. A write that had
-- begun ends with it. Nobody remembers anything for longer than an hour, so writes
-- are forgotten after a week.
WITH earlier AS (
    SELECT max(number) FILTER (WHERE number < 9223372036854775807) AS last,
           min(oldest) FILTER (WHERE number = 9223372036854775807) AS began
    FROM rollup_writes
), written AS (
    SELECT least($1, began) AS oldest,
           -- never that of a write before a backup was restored
           greatest(last + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS number
    FROM earlier
), covered AS (
    DELETE FROM rollup_writes AS w
    USING written
    WHERE w.oldest > written.oldest
       OR w.oldest < written.oldest AND w.number < written.number - 604800000000
)
INSERT INTO rollup_writes (oldest, number)
SELECT oldest, number FROM written
ON CONFLICT (oldest) DO UPDATE SET number = excluded.number
