-- Notes that rollups were written to, $1 being the oldest bucket of them. Writes that had
-- begun end with it. What is remembered holds for a week at most, so writes are forgotten
-- after one.
WITH earlier AS (
    SELECT max(number) FILTER (WHERE number < 9223372036854775807) AS last,
           -- a mark of a write that began lies before its oldest bucket
           min(oldest) FILTER (WHERE number = 9223372036854775807) + 1 AS began
    FROM rollup_writes
), written AS (
    SELECT least($1, began) AS oldest,
           greatest(last + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS number
    FROM earlier
), covered AS (
    DELETE FROM rollup_writes AS w
    USING written
    WHERE w.oldest > written.oldest
       OR w.number = 9223372036854775807
       OR w.oldest < written.oldest AND w.number < written.number - 604800000000
)
INSERT INTO rollup_writes (oldest, number)
SELECT oldest, number FROM written
ON CONFLICT (oldest) DO UPDATE SET number = excluded.number
