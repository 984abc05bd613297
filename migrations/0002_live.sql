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
