-- Sums over requests, so that questions cost the same however many rows there
-- are. docs/storage.md says why it has this shape.

-- Besides the full dimension sets (cube 0) the dictionary now has narrow ones,
-- in which all but one dimension are left out: 1 everything, 2 model,
-- 3 upstream, 4 client key, 5 user. A column that a cube leaves out has the
-- empty value of its type.
ALTER TABLE series ADD COLUMN cube smallint NOT NULL DEFAULT 0;

-- Measures of the requests of one series and outcome that began in one bucket
-- of time. NULL is none, in sums and in counts; a sum with a NULL count was
-- reported by all of the requests. Histograms are packed (docs/storage.md).
-- busy_us is the time for which requests ran within the bucket, whenever they
-- began, so a row may have busy time and no requests.
CREATE TABLE rollups (
    bucket                 timestamptz NOT NULL,
    series_id              bigint      NOT NULL,
    requests               bigint      NOT NULL,
    last_started_at        timestamptz,
    busy_us                bigint,
    prompt_tokens          bigint,
    cached_prompt_tokens   bigint,
    cache_write_tokens     bigint,
    completion_tokens      bigint,
    reasoning_tokens       bigint,
    total_tokens           bigint,
    with_prompt            bigint,
    with_cached_prompt     bigint,
    with_cache_write       bigint,
    with_completion        bigint,
    with_reasoning         bigint,
    with_total             bigint,
    without_usage          bigint,
    with_estimated_usage   bigint,
    upstream_cost_usd      double precision,
    -- Seconds of the bucket: 60, 900, 3600, 21600 or 86400.
    width                  integer     NOT NULL,
    outcome                smallint    NOT NULL,
    duration_us            bytea,
    first_token_us         bytea,
    decode_rate            bytea,
    prefill_rate           bytea,
    token_gaps             bytea,
    PRIMARY KEY (series_id, bucket, width, outcome)
) PARTITION BY LIST (width);

CREATE TABLE rollups_60 PARTITION OF rollups FOR VALUES IN (60) PARTITION BY RANGE (bucket);
CREATE TABLE rollups_900 PARTITION OF rollups FOR VALUES IN (900) PARTITION BY RANGE (bucket);
CREATE TABLE rollups_3600 PARTITION OF rollups FOR VALUES IN (3600) PARTITION BY RANGE (bucket);
CREATE TABLE rollups_21600 PARTITION OF rollups FOR VALUES IN (21600) PARTITION BY RANGE (bucket);
CREATE TABLE rollups_86400 PARTITION OF rollups FOR VALUES IN (86400) PARTITION BY RANGE (bucket);

-- What was committed and is not yet in `rollups`, by minute: each commit of
-- requests appends here, in its transaction; nobody waits for anybody. Moved
-- into `rollups` within seconds, by one process at a time. Readers add both.
CREATE TABLE rollup_changes (LIKE rollups INCLUDING DEFAULTS);
ALTER TABLE rollup_changes ALTER COLUMN width SET DEFAULT 60;
ALTER TABLE rollup_changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- From which moment on the rollups of a width are complete. Before it, requests
-- themselves are read. Where there are requests already, nothing is complete
-- until analytics has summed them up, which it does in the background.
CREATE TABLE rollup_levels (
    width         integer     PRIMARY KEY,
    complete_from timestamptz NOT NULL
);

INSERT INTO rollup_levels (width, complete_from)
SELECT width,
       CASE WHEN EXISTS (SELECT FROM requests)
            THEN timestamptz '9999-12-31 00:00:00+00'
            ELSE timestamptz '0001-01-01 00:00:00+00' END
FROM unnest(ARRAY[60, 900, 3600, 21600, 86400]) AS width;

-- The day before which partitions of a table were dropped. They are never made
-- again: a request that comes a second time after that would count twice.
CREATE TABLE dropped_days (
    subject text PRIMARY KEY,
    before  date NOT NULL
);

-- Makes the partition of rollups of a width from one moment to another, unless
-- it is there.
CREATE FUNCTION create_rollups_partition(of_width integer, first date, after date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    partition text := format('rollups_%s_%s', of_width, to_char(first, 'YYYYMMDD'));
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('modash.rollups_partitions'));
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Rows are rewritten often, and their histograms are read with them.
    EXECUTE format(
        'CREATE TABLE %I (LIKE rollups INCLUDING ALL)
         WITH (fillfactor = 85, toast_tuple_target = 8160)', partition);
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        'rollups_' || of_width,
        partition,
        first::timestamp AT TIME ZONE 'UTC',
        after::timestamp AT TIME ZONE 'UTC');
    RETURN true;
END
$$;

-- Drops the partitions of rollups of a width that begin before a day; gives how
-- many. Rather fails than waits long: the caller retries.
CREATE FUNCTION drop_rollups_partitions(of_width integer, first date) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    partition regclass;
    dropped   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('modash.rollups_partitions'));
    FOR partition IN
        SELECT c.oid::regclass
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = ('rollups_' || of_width)::regclass
          AND c.relname < format('rollups_%s_%s', of_width, to_char(first, 'YYYYMMDD'))
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %s', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

-- As before, but a day that was dropped is not made again.
CREATE OR REPLACE FUNCTION create_requests_partition(day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    partition text := 'requests_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('modash.requests_partitions'));
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM dropped_days d WHERE d.subject = 'requests' AND d.before > day) THEN
        RAISE EXCEPTION 'the requests of % were dropped', day USING ERRCODE = 'data_exception';
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE requests INCLUDING ALL)', partition);
    EXECUTE format(
        'ALTER TABLE requests ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition,
        day::timestamp AT TIME ZONE 'UTC',
        (day + 1)::timestamp AT TIME ZONE 'UTC');
    RETURN true;
END
$$;

-- As before, and notes which days are gone.
CREATE OR REPLACE FUNCTION drop_requests_partitions(day date) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    partition regclass;
    dropped   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('modash.requests_partitions'));
    FOR partition IN
        SELECT c.oid::regclass
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'requests'::regclass
          AND c.relname ~ '^requests_[0-9]{8}$'
          AND c.relname < 'requests_' || to_char(day, 'YYYYMMDD')
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %s', partition);
        dropped := dropped + 1;
    END LOOP;
    IF dropped > 0 THEN
        INSERT INTO dropped_days AS d (subject, before) VALUES ('requests', day)
        ON CONFLICT (subject) DO UPDATE SET before = greatest(d.before, excluded.before);
    END IF;
    RETURN dropped;
END
$$;
