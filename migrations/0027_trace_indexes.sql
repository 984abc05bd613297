-- no-transaction
-- Indexes the partitions that are there by trace. Each is a transaction, so commits
-- wait for one scan of the current day at most. CONCURRENTLY is not possible in a loop.
-- May run again after it was interrupted.
DO $$
DECLARE
    partition text;
BEGIN
    FOR partition IN
        SELECT c.relname
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'requests'::regclass
        ORDER BY c.relname
    LOOP
        -- Held until the COMMIT: no partition is made or dropped meanwhile.
        PERFORM pg_advisory_xact_lock(hashtext('modash.requests_partitions'));
        IF to_regclass(partition) IS NOT NULL AND NOT EXISTS (
            SELECT
            FROM pg_index x JOIN pg_inherits i ON i.inhrelid = x.indexrelid
            WHERE x.indrelid = to_regclass(partition)
              AND i.inhparent = 'requests_trace'::regclass)
        THEN
            EXECUTE format(
                'CREATE INDEX %I ON %I (trace_id) WHERE trace_id IS NOT NULL',
                partition || '_trace_id_idx', partition);
            EXECUTE format(
                'ALTER INDEX requests_trace ATTACH PARTITION %I', partition || '_trace_id_idx');
        END IF;
        COMMIT;
    END LOOP;
END
$$;
