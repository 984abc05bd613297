-- How far a standby has replayed the log of its primary, in bytes; NULL: it is none,
-- or a replica of another kind, which does not say.
SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END
