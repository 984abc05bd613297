-- The tables of modash. docs/storage.md says why they have this shape. Enums are the
-- numbers of the contract, *_us are microseconds, *_nano_usd billionths of a US dollar;
-- NULL is unknown.

-- ---- what requests have in common

-- Dictionary of dimension sets. The id is a hash of the set, computed by the
-- writer, so that replicas agree without a sequence. Cube 0 has all dimensions; in
-- the narrow ones all but one are left out: 1 everything, 2 model, 3 upstream,
-- 4 client key, 5 user, 6 tags; 7 model and upstream, for errors only. A column that a cube leaves out has the empty value
-- of its type.
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
    tags              jsonb    NOT NULL,
    cube              smallint NOT NULL,
    -- Its requests are due to report usage.
    generating        boolean  NOT NULL,
    -- Its requests name no model and need none.
    calls_no_model    boolean  NOT NULL
);

-- Questions about everything need one row of the dictionary, not a look at all.
CREATE INDEX series_cube ON series (cube);

-- What many requests have in common besides their series: such texts stand once
-- here, and requests refer to them by a number in place of a hundred bytes. The
-- id is a hash of the set, computed by the writer, as for series.
CREATE TABLE kinds (
    kind_id         integer PRIMARY KEY,
    replica_id      text    NOT NULL,
    method          text    NOT NULL,
    path            text    NOT NULL,
    model_requested text,
    service_tier    text,
    finish_reason   text,
    provider        text,
    price_version   text
);

-- ---- finished requests

-- One row for each request, partitioned by UTC day of started_at. Columns are
-- ordered by width, so that none is padded. A request has a kind, or the texts of
-- one itself: those with a path of its own, and those beyond the limit of kinds.
CREATE TABLE requests (
    event_id                     uuid        NOT NULL,
    started_at                   timestamptz NOT NULL,
    series_id                    bigint      NOT NULL,
    prompt_tokens                bigint,
    cached_prompt_tokens         bigint,
    cache_write_tokens           bigint,
    cache_write_1h_tokens        bigint,
    completion_tokens            bigint,
    reasoning_tokens             bigint,
    audio_prompt_tokens          bigint,
    audio_completion_tokens      bigint,
    cached_audio_prompt_tokens   bigint,
    image_prompt_tokens          bigint,
    cached_image_prompt_tokens   bigint,
    image_completion_tokens      bigint,
    images                       bigint,
    characters                   bigint,
    total_tokens                 bigint,
    billed_prompt_tokens         bigint,
    billed_completion_tokens     bigint,
    billed_audio_us              bigint,
    search_units                 double precision,
    upstream_cost_usd            double precision,
    cost_nano_usd                bigint,
    cache_saving_nano_usd        bigint,
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
    span_id                      bigint,
    parent_span_id               bigint,
    kind_id                      integer,
    outcome                      smallint    NOT NULL,
    usage_source                 smallint    NOT NULL,
    speed_source                 smallint    NOT NULL,
    status                       smallint,
    cost_source                  smallint    NOT NULL,
    -- Bits of the columns cached_audio_prompt_tokens, image_prompt_tokens,
    -- cached_image_prompt_tokens, image_completion_tokens that are 0, and NULL there.
    zero_parts                   smallint,
    -- `uuid` is the type of 16 bytes that has no header; a trace id is none.
    trace_id                     uuid,
    replica_id                   text,
    method                       text,
    path                         text,
    model_requested              text,
    session                      text,
    response_id                  text,
    finish_reason                text,
    service_tier                 text,
    error_type                   text,
    provider                     text,
    price_version                text,
    token_gaps                   bytea,
    PRIMARY KEY (started_at, event_id)
) PARTITION BY RANGE (started_at);

-- A filter by session reads single requests. Equal keys share an entry, so a session
-- of many requests takes six bytes for each, and rows without one nothing.
CREATE INDEX requests_session ON requests (hashtextextended(session, 0))
    WHERE session IS NOT NULL;

-- So does a filter by trace.
CREATE INDEX requests_trace ON requests (trace_id) WHERE trace_id IS NOT NULL;

-- Concurrency asks which requests of the day before still ran: only the few
-- that took more than ten minutes can be far back.
CREATE INDEX requests_long ON requests (started_at)
    WHERE duration_us > 600000000;

-- Failures are few and lie far apart.
CREATE INDEX requests_failed ON requests (started_at)
    WHERE outcome NOT IN (1, 6); -- OK, CLIENT_CLOSED

-- The day before which partitions of a table were dropped. They are never made
-- again: a request that comes a second time after that would count twice.
CREATE TABLE dropped_days (
    subject text PRIMARY KEY,
    before  date NOT NULL
);

-- Makes the partition of a day unless it is there, or was dropped. Attaching an
-- existing table does not block readers and writers, which CREATE ... PARTITION OF
-- would.
CREATE FUNCTION create_requests_partition(day date) RETURNS boolean
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

-- Drops the partitions of the days before `day`, and notes that they are gone; gives
-- how many. Rather fails than waits long, since those who come after it wait too: the
-- caller retries.
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
    IF dropped > 0 THEN
        INSERT INTO dropped_days AS d (subject, before) VALUES ('requests', day)
        ON CONFLICT (subject) DO UPDATE SET before = greatest(d.before, excluded.before);
    END IF;
    RETURN dropped;
END
$$;

-- Which event has booked the counts of a response that several calls may show: a
-- background response, which is created by one call and polled by others. Written in
-- the transaction that stores the event. The key is a hash of the upstream's name and
-- the response's id. Rows are deleted with the retention of requests.
CREATE TABLE booked_responses (
    response_key uuid        PRIMARY KEY,
    event_id     uuid        NOT NULL,
    booked_at    timestamptz NOT NULL
);

CREATE INDEX booked_responses_booked_at ON booked_responses (booked_at);

-- ---- sums over requests, so that questions cost the same however many rows there are

-- A row holds what belongs to one series in one bucket, by outcome, as bytes.
-- Bucket: minutes since 1970, UTC. Level: seconds of a bucket (60, 900, 3600,
-- 21600, 86400 or 604800), negative for full dimension sets, which are kept apart from
-- the narrow ones: there are many more of them, and they are kept for less long.
-- Errors: failed requests by the type of their error, of full sets and of cube 7,
-- from hours on.
CREATE TABLE rollups (
    series_id  bigint  NOT NULL,
    bucket     integer NOT NULL,
    level      integer NOT NULL,
    sums       bytea   NOT NULL,
    histograms bytea,
    errors     bytea
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
        60, 900, 3600, 21600, 86400, 604800, -60, -900, -3600, -21600, -86400]
    LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF rollups FOR VALUES IN (%s) PARTITION BY RANGE (bucket)',
            rollups_table(of_level), of_level);
        -- The index of narrow sets by hour and more has their sums: charts and rankings of
        -- months read them from there, some pages for each series in place of a page for
        -- each row, since in the table histograms lie between them. A second index beside
        -- it would be taken in its place as soon as a page of the table was written to.
        EXECUTE format(
            'ALTER TABLE %I ADD PRIMARY KEY (series_id, bucket, level) %s',
            rollups_table(of_level),
            CASE WHEN of_level >= 3600 THEN 'INCLUDE (sums)' END);
    END LOOP;
END
$$;

-- What was committed and is not yet in `rollups`, by minute: each commit of
-- requests appends here, in its transaction; nobody waits for anybody. Moved
-- into `rollups` within seconds, by one process at a time. Readers add both.
CREATE TABLE rollup_changes (LIKE rollups);
ALTER TABLE rollup_changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- Which rollups were written to: the oldest bucket, and a number that is greater than that
-- of each write before. A write that a later one covers, from the same bucket or an older
-- one on, is left out. Readers remember sums, and know from here which of them still hold.
-- The greatest number: a write that goes on.
CREATE TABLE rollup_writes (
    oldest integer PRIMARY KEY,
    number bigint  NOT NULL
);

-- From which moment on the rollups of a level are complete. Before it, requests
-- themselves are read.
CREATE TABLE rollup_levels (
    level         integer     PRIMARY KEY,
    complete_from timestamptz NOT NULL
);

INSERT INTO rollup_levels (level, complete_from)
SELECT level, timestamptz '0001-01-01 00:00:00+00'
FROM unnest(ARRAY[60, 900, 3600, 21600, 86400, 604800, -60, -900, -3600, -21600, -86400]) AS level;

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
        'CREATE TABLE %I (LIKE %I INCLUDING ALL)
         WITH (fillfactor = 90, toast_tuple_target = 8160)', partition, rollups_table(of_level));
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

-- Writes the rows of `merged_rollups`, a table of the caller's, in place of those that
-- have their keys. The tables of levels have indexes of their own, so each is written to.
CREATE FUNCTION write_merged_rollups() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    of_level integer;
BEGIN
    FOR of_level IN SELECT DISTINCT level FROM merged_rollups LOOP
        EXECUTE format(
            'INSERT INTO %I (series_id, bucket, level, sums, histograms, errors)
             SELECT series_id, bucket, level, sums, histograms, errors
             FROM merged_rollups WHERE level = %s
             ON CONFLICT (series_id, bucket, level) DO UPDATE SET
                 sums = excluded.sums,
                 histograms = excluded.histograms,
                 errors = excluded.errors',
            rollups_table(of_level), of_level);
    END LOOP;
END
$$;

-- Small numbers of client keys: sums of errors name those that failed. By the series
-- of the client key (cube 4); numbered when one fails first.
CREATE TABLE client_key_numbers (
    series_id bigint  PRIMARY KEY,
    number    integer NOT NULL
);

-- Which models, upstreams, client keys and users matter most, so that an answer
-- about the largest of very many reads those only. docs/storage.md says how they
-- are chosen.

-- One row for each narrow series of a cube with groups (2 to 5). Rows come and
-- change with the rollups; buckets are minutes since 1970, as there.
CREATE TABLE series_activity (
    series_id    bigint           NOT NULL PRIMARY KEY,
    -- Logarithm to base 2 of requests and thousands of tokens, of which those of a
    -- week later count twice: so older ones fade and no row has to be touched.
    weight       double precision NOT NULL,
    first_bucket integer          NOT NULL,
    last_bucket  integer          NOT NULL,
    cube         smallint         NOT NULL
);

CREATE INDEX series_activity_weight ON series_activity (cube, weight DESC);
CREATE INDEX series_activity_last ON series_activity (cube, last_bucket DESC);

-- ---- sessions

-- Sums of the requests of a session in one series, and in all of them as series 0, so
-- that a list of sessions reads one row for each. The id is the first 64 bits of
-- SHA-256 of the session's name.
CREATE TABLE sessions (
    session_id            bigint      NOT NULL,
    series_id             bigint      NOT NULL,
    first_started_at      timestamptz NOT NULL,
    last_started_at       timestamptz NOT NULL,
    last_ended_at         timestamptz NOT NULL,
    requests              bigint      NOT NULL,
    failed_requests       bigint      NOT NULL,
    prompt_tokens         bigint      NOT NULL,
    cached_prompt_tokens  bigint      NOT NULL,
    completion_tokens     bigint      NOT NULL,
    total_tokens          bigint      NOT NULL,
    cost_nano_usd         bigint      NOT NULL,
    cache_saving_nano_usd bigint      NOT NULL,
    known_costs           bigint      NOT NULL,
    unknown_costs         bigint      NOT NULL,
    estimated_costs       bigint      NOT NULL,
    -- Sum of the durations of its requests.
    duration_us           bigint      NOT NULL,
    session               text        NOT NULL,
    PRIMARY KEY (session_id, series_id)
);

CREATE INDEX sessions_last ON sessions (series_id, last_started_at) INCLUDE (first_started_at);

-- Each order of a list of all sessions, so that a page is read along it.
CREATE INDEX sessions_by_requests ON sessions (requests DESC, last_started_at DESC)
    WHERE series_id = 0;
CREATE INDEX sessions_by_tokens ON sessions (total_tokens DESC, last_started_at DESC)
    WHERE series_id = 0;
CREATE INDEX sessions_by_cost ON sessions (cost_nano_usd DESC, last_started_at DESC)
    WHERE series_id = 0;
CREATE INDEX sessions_by_duration ON sessions (duration_us DESC, last_started_at DESC)
    WHERE series_id = 0;

-- What was committed and is not yet in `sessions`, as rollup_changes.
CREATE TABLE session_changes (LIKE sessions);
ALTER TABLE session_changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- Responses of the Responses API by a hash of upstream and id, each with the session
-- that requests which follow it belong to. Written by the one process that folds.
CREATE TABLE response_links (
    response_key uuid        NOT NULL PRIMARY KEY,
    session      text        NOT NULL,
    started_at   timestamptz NOT NULL,
    event_id     uuid        NOT NULL,
    -- The response before its chain, as long as that did not come.
    waits_for    uuid,
    -- The request has that session, by its own name or by its chain.
    joined       boolean     NOT NULL
);

CREATE INDEX response_links_waits_for ON response_links (waits_for) WHERE waits_for IS NOT NULL;
CREATE INDEX response_links_started_at ON response_links (started_at);

-- What was committed of such responses and is not yet there.
CREATE TABLE response_notes (
    response_key uuid        NOT NULL,
    response_id  text        NOT NULL,
    previous_key uuid,
    previous_id  text,
    session      text,
    started_at   timestamptz NOT NULL,
    event_id     uuid        NOT NULL
);
ALTER TABLE response_notes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- ---- rate limits of upstreams

-- The limits that responses stated, for each upstream and client key ('' for none).
-- Kind: the number of the contract; 0 stands for refusals, whatever limit they are of.
-- Only the one process that folds changes adds rows, up to a limit, so it numbers them.
CREATE TABLE rate_limits (
    limit_id    integer  PRIMARY KEY,
    upstream    text     NOT NULL,
    client_key  text     NOT NULL,
    kind        smallint NOT NULL,
    window_name text     NOT NULL,
    UNIQUE (upstream, client_key, kind, window_name)
);

-- What was stated in a bucket: what came last, and the lowest. Bucket: minutes since
-- 1970, UTC; level: minutes of a bucket, 5 or 60. Headroom: the share that was left.
CREATE TABLE rate_limit_buckets (
    limit_id         integer     NOT NULL,
    level            smallint    NOT NULL,
    bucket           integer     NOT NULL,
    seen_at          timestamptz NOT NULL,
    -- Of refusals: when to try again.
    resets_at        timestamptz,
    allowed          bigint,
    remaining        bigint,
    headroom         double precision,
    lowest_at        timestamptz,
    lowest_remaining bigint,
    lowest_headroom  double precision,
    -- Responses with 429.
    refused          bigint      NOT NULL,
    PRIMARY KEY (limit_id, level, bucket)
);

CREATE INDEX rate_limit_buckets_bucket ON rate_limit_buckets (bucket);

-- What was committed and is not yet there, as rollup_changes; buckets of five minutes.
CREATE TABLE rate_limit_changes (
    upstream         text        NOT NULL,
    client_key       text        NOT NULL,
    kind             smallint    NOT NULL,
    window_name      text        NOT NULL,
    bucket           integer     NOT NULL,
    seen_at          timestamptz NOT NULL,
    resets_at        timestamptz,
    allowed          bigint,
    remaining        bigint,
    headroom         double precision,
    lowest_at        timestamptz,
    lowest_remaining bigint,
    lowest_headroom  double precision,
    refused          bigint      NOT NULL
);
ALTER TABLE rate_limit_changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- ---- what proxies account for

-- The account of every proxy: what it reported of itself, and what became of its
-- events here. One row for each life of its process. The counts change in the
-- transaction that stores the events, so they are exact whatever is sent again.
CREATE TABLE replica_runs (
    replica_id         text        NOT NULL,
    process_started_at timestamptz NOT NULL,
    version            text        NOT NULL,
    -- When it was last heard of; 1970 before its first report.
    reported_at        timestamptz NOT NULL,
    -- Its last report, an encoded modash.v1.ReplicaStats; empty before the first.
    reported           bytea       NOT NULL,
    committed          bigint      NOT NULL,
    duplicate          bigint      NOT NULL,
    rejected           bigint      NOT NULL,
    PRIMARY KEY (replica_id, process_started_at)
) WITH (fillfactor = 50);

-- Which token speaks for a replica while a stream of it is open: another one may not
-- (docs/security.md), so that nobody makes up the account of a replica that is there.
-- One row for each such stream with a token; none without tokens.
CREATE TABLE replica_owners (
    replica_id text        NOT NULL PRIMARY KEY,
    token      text        NOT NULL,
    -- The stream, so that one that ends late does not take the place of the next.
    stream     uuid        NOT NULL,
    -- When it began to speak.
    spoke_at   timestamptz NOT NULL
);

-- Events that can never be stored, with the reason. The newest 10,000 are kept.
CREATE TABLE quarantine (
    quarantine_id uuid        PRIMARY KEY,
    received_at   timestamptz NOT NULL,
    replica_id    text        NOT NULL,
    event_id      text        NOT NULL,
    reason        text        NOT NULL,
    event         bytea       NOT NULL
);

-- ---- what runs

-- What replicas of analytics leave for each other so that each can show all
-- running requests. Unlogged: it costs no write-ahead log, and what a crash of
-- the database empties is written again within seconds.

-- Replicas that are alive.
CREATE UNLOGGED TABLE live_replicas (
    instance    uuid        PRIMARY KEY,
    lease_until timestamptz NOT NULL
);

-- Running and just ended requests, as encoded modash.v1.LiveRequest. `version`
-- counts the tellings of the replica, so that the others read what is new.
CREATE UNLOGGED TABLE live_requests (
    event_id uuid        PRIMARY KEY,
    instance uuid        NOT NULL,
    version  bigint      NOT NULL,
    ended_at timestamptz,
    request  bytea       NOT NULL
);

CREATE INDEX live_requests_version ON live_requests (instance, version);

-- ---- what people keep

-- Views of the dashboard that admins saved.
CREATE TABLE views (
    name     text        NOT NULL PRIMARY KEY,
    path     text        NOT NULL,
    saved_at timestamptz NOT NULL
);

-- Names that people recognise: 1 of client keys, 2 of users, 3 of values of tags.
CREATE TABLE names (
    kind smallint NOT NULL,
    id   text     NOT NULL,
    name text     NOT NULL,
    PRIMARY KEY (kind, id)
);

-- Moments that charts show, such as deployments. The newest 1,000 are kept.
CREATE TABLE marks (
    mark_id   uuid        NOT NULL PRIMARY KEY,
    marked_at timestamptz NOT NULL,
    text      text        NOT NULL,
    link      text
);

-- ---- budgets

-- How much requests may use in a period, and how much they have used.
CREATE TABLE budgets (
    budget_id          uuid        NOT NULL PRIMARY KEY,
    name               text        NOT NULL UNIQUE,
    -- Which requests count, an encoded modash.v1.Filter.
    filter             bytea       NOT NULL,
    -- Number of the period of the calendar in the contract, or 0 where a window of
    -- so many seconds rolls.
    calendar           smallint    NOT NULL,
    rolling_seconds    bigint      NOT NULL,
    time_zone          text        NOT NULL,
    -- 1: total tokens, 2: billionths of a US dollar.
    unit               smallint    NOT NULL,
    amount             bigint      NOT NULL,
    -- Percentages at which notices are made, ascending.
    shares             integer[]   NOT NULL,
    webhook_url        text,
    webhook_secret     bytea,
    -- When it is to be computed next.
    due_at             timestamptz NOT NULL,
    -- When a replica began to compute it. Another one may if that is long ago.
    claimed_at         timestamptz,
    -- What was computed last.
    computed_at        timestamptz,
    period_start       timestamptz,
    period_end         timestamptz,
    spent              bigint      NOT NULL DEFAULT 0,
    unknown_requests   bigint      NOT NULL DEFAULT 0,
    estimated_requests bigint      NOT NULL DEFAULT 0,
    projected          bigint,
    problem            text        NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

-- That a budget reached a share. The newest 50 of a budget are kept, and those that
-- are still to be sent.
CREATE TABLE budget_notices (
    notice_id       uuid        NOT NULL PRIMARY KEY,
    budget_id       uuid        NOT NULL,
    share           integer     NOT NULL,
    reached_at      timestamptz NOT NULL,
    period_start    timestamptz NOT NULL,
    period_end      timestamptz NOT NULL,
    spent           bigint      NOT NULL,
    -- While it is in force, no other notice of this share is made: until the period
    -- ends, or much less is used than the share.
    in_force        boolean     NOT NULL,
    -- Number in the contract.
    delivery        smallint    NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0,
    delivered_at    timestamptz,
    -- When to send it; in the future while a replica sends it.
    next_attempt_at timestamptz,
    last_error      text        NOT NULL DEFAULT '',
    -- What is sent.
    body            text        NOT NULL
);

-- However many replicas see that a share is reached, there is one notice.
CREATE UNIQUE INDEX budget_notices_in_force ON budget_notices (budget_id, share) WHERE in_force;
CREATE INDEX budget_notices_newest ON budget_notices (budget_id, reached_at);
CREATE INDEX budget_notices_due ON budget_notices (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
