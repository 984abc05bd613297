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
    finish_reason   text
);

-- A request has a kind, or the texts themselves: those with a path of its own,
-- those beyond the limit of kinds, and those of a process of the version before.
ALTER TABLE requests ADD COLUMN kind_id integer;
ALTER TABLE requests ALTER COLUMN replica_id DROP NOT NULL;
ALTER TABLE requests ALTER COLUMN method DROP NOT NULL;
ALTER TABLE requests ALTER COLUMN path DROP NOT NULL;

-- Equal keys share an entry, so a session of many requests takes six bytes for
-- each. A partition is a day, so the start need not be in the key.
DROP INDEX requests_session;
CREATE INDEX requests_session ON requests (hashtextextended(session, 0))
    WHERE session IS NOT NULL;
