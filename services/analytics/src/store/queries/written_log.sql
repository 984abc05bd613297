-- How far the primary has written its log, in bytes; NULL: it is a standby itself.
SELECT CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_lsn() - '0/0')::bigint END
