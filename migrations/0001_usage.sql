-- Finished requests. docs/storage.md says why it has this shape.

-- Dictionary of dimension sets. The id is a hash of the set, computed by the
-- writer, so that replicas agree without a sequence.
CREATE TABLE series (
    series_id         bigint   PRIMARY KEY,
    model             text,
    upstream          text     NOT NULL,
    dialect           text     NOT NULL,
    operation         smallint NOT NULL,
    stream            boolean  NOT NULL,
    client_key        text,
    user_name         text,
    user_agent_family text,
    tags              jsonb    NOT NULL
);

-- One row for each request, partitioned by UTC day of started_at. Columns are
-- ordered by width, so that none is padded. Enums are the numbers of the
-- contract; *_us are microseconds; NULL is unknown.
CREATE TABLE requests (
    event_id                     uuid        NOT NULL,
    started_at                   timestamptz NOT NULL,
    series_id                    bigint      NOT NULL,
    prompt_tokens                bigint,
    cached_prompt_tokens         bigint,
    cache_write_tokens           bigint,
    completion_tokens            bigint,
    reasoning_tokens             bigint,
    audio_prompt_tokens          bigint,
    audio_completion_tokens      bigint,
    total_tokens                 bigint,
    billed_prompt_tokens         bigint,
    billed_completion_tokens     bigint,
    billed_audio_us              bigint,
    search_units                 double precision,
    upstream_cost_usd            double precision,
    connect_us                   bigint,
    upstream_head_us             bigint,
    first_token_us               bigint,
    last_token_us                bigint,
    duration_us                  bigint,
    content_events               bigint      NOT NULL,
    prefill_tokens_per_second    double precision,
    decode_tokens_per_second     double precision,
    request_bytes                bigint      NOT NULL,
    response_bytes               bigint      NOT NULL,
    outcome                      smallint    NOT NULL,
    usage_source                 smallint    NOT NULL,
    speed_source                 smallint    NOT NULL,
    status                       smallint,
    replica_id                   text        NOT NULL,
    method                       text        NOT NULL,
    path                         text        NOT NULL,
    model_requested              text,
    session                      text,
    response_id                  text,
    finish_reason                text,
    service_tier                 text,
    error_type                   text,
    token_gaps                   bytea,
    PRIMARY KEY (started_at, event_id)
) PARTITION BY RANGE (started_at);

-- A filter by session reads single requests; rows without a session cost
-- nothing here.
CREATE INDEX requests_session ON requests (session, started_at)
    WHERE session IS NOT NULL;

-- Concurrency asks which requests of the day before still ran: only the few
-- that took more than ten minutes can be far back.
CREATE INDEX requests_long ON requests (started_at)
    WHERE duration_us > 600000000;

-- Events that can never be stored, with the reason. The newest 10,000 are kept.
CREATE TABLE quarantine (
    quarantine_id uuid        PRIMARY KEY,
    received_at   timestamptz NOT NULL,
    replica_id    text        NOT NULL,
    event_id      text        NOT NULL,
    reason        text        NOT NULL,
    event         bytea       NOT NULL
);

-- Makes the partition of a day unless it is there. Attaching an existing table
-- does not block readers and writers, which CREATE ... PARTITION OF would.
CREATE FUNCTION create_requests_partition(day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    partition text := 'requests_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('modash.requests_partitions'));
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
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

-- Drops the partitions of the days before `day`; gives how many. Rather fails
-- than waits long, since those who come after it wait too: the caller retries.
CREATE FUNCTION drop_requests_partitions(day date) RETURNS integer
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
    RETURN dropped;
END
$$;
