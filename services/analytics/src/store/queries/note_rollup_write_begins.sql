-- Notes that rollups from a bucket ($1) on will be written to: by a mark before it, where no
-- write has its own.
INSERT INTO rollup_writes (oldest, number)
VALUES ($1 - 1, 9223372036854775807)
ON CONFLICT (oldest) DO NOTHING
