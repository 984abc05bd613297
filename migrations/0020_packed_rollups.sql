-- Rollups as bytes: a row holds what belongs to one series in one bucket, by
-- outcome, in a third of the room and read in a third of the time.
-- docs/storage.md says why they have this shape. Rollups of the shape before are
-- not carried over: analytics sums up the requests that are there, as it does
-- after the migration that brought rollups.
DROP TABLE rollups;
DROP TABLE rollup_changes;
DROP TABLE rollup_levels;
DROP FUNCTION create_rollups_partition(integer, date, date);
DROP FUNCTION drop_rollups_partitions(integer, date);

-- Bucket: minutes since 1970, UTC. Level: seconds of a bucket (60, 900, 3600,
-- 21600 or 86400), negative for full dimension sets, which are kept apart from
-- the narrow ones: there are many more of them, and they are kept for less long.
CREATE TABLE rollups (
    series_id  bigint  NOT NULL,
    bucket     integer NOT NULL,
    level      integer NOT NULL,
    sums       bytea   NOT NULL,
    histograms bytea,
    PRIMARY KEY (series_id, bucket, level)
) PARTITION BY LIST (level);

-- Name of the table of a level.
CREATE FUNCTION rollups_table(of_level integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN of_level < 0 THEN 'full_rollups_' ELSE 'rollups_' END || abs(of_level)
$$;

DO $$
DECLARE
    of_level integer;
BEGIN
    FOREACH of_level IN ARRAY ARRAY[
        60, 900, 3600, 21600, 86400, -60, -900, -3600, -21600, -86400]
    LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF rollups FOR VALUES IN (%s) PARTITION BY RANGE (bucket)',
            rollups_table(of_level), of_level);
    END LOOP;
END
$$;

-- What was committed and is not yet in `rollups`, by minute: each commit of
-- requests appends here, in its transaction; nobody waits for anybody. Moved
-- into `rollups` within seconds, by one process at a time. Readers add both.
CREATE TABLE rollup_changes (LIKE rollups);
ALTER TABLE rollup_changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- From which moment on the rollups of a level are complete. Before it, requests
-- themselves are read.
CREATE TABLE rollup_levels (
    level         integer     PRIMARY KEY,
    complete_from timestamptz NOT NULL
);

INSERT INTO rollup_levels (level, complete_from)
SELECT level,
       CASE WHEN EXISTS (SELECT FROM requests)
            THEN timestamptz '9999-12-31 00:00:00+00'
            ELSE timestamptz '0001-01-01 00:00:00+00' END
FROM unnest(ARRAY[60, 900, 3600, 21600, 86400, -60, -900, -3600, -21600, -86400]) AS level;

-- Makes the partition of rollups of a level from one day to another, unless it is
-- there.
CREATE FUNCTION create_rollups_partition(of_level integer, first date, after date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    partition text := format('%s_%s', rollups_table(of_level), to_char(first, 'YYYYMMDD'));
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('modash.rollups_partitions'));
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Rows are rewritten often, and their histograms are read with them.
    EXECUTE format(
        'CREATE TABLE %I (LIKE rollups INCLUDING ALL)
         WITH (fillfactor = 90, toast_tuple_target = 8160)', partition);
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
        rollups_table(of_level),
        partition,
        (first - date '1970-01-01') * 1440,
        (after - date '1970-01-01') * 1440);
    RETURN true;
END
$$;

-- Drops the partitions of rollups of a level that begin before a day; gives how
-- many. Rather fails than waits long: the caller retries.
CREATE FUNCTION drop_rollups_partitions(of_level integer, first date) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    partition regclass;
    dropped   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('modash.rollups_partitions'));
    FOR partition IN
        SELECT c.oid::regclass
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = rollups_table(of_level)::regclass
          AND c.relname < format('%s_%s', rollups_table(of_level), to_char(first, 'YYYYMMDD'))
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %s', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
