-- Which token speaks for a replica: the first one whose proxy did. Another one may only
-- where that is said (docs/security.md), so that nobody makes up the account of a
-- replica. One row for each replica that showed a token; none without tokens.
CREATE TABLE replica_owners (
    replica_id text        NOT NULL PRIMARY KEY,
    token      text        NOT NULL,
    -- When it last began to speak.
    spoke_at   timestamptz NOT NULL
);
