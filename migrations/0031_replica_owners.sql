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
