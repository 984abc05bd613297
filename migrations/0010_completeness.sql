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
