-- Notes that rollups from a bucket ($1) on will be written to.
INSERT INTO rollup_writes (oldest, number)
VALUES ($1, 9223372036854775807)
ON CONFLICT (oldest) DO UPDATE SET number = excluded.number
