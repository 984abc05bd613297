-- What a role may do in a database, and how it is; changes nothing.
SELECT
    current_user::text AS role,
    clock_timestamp() AS now,
    pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only,
    current_schema()::text AS schema,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
    (
        SELECT pg_has_role(relowner, 'USAGE')
        FROM pg_class
        WHERE oid = to_regclass('requests')
    ) AS owns_tables,
    to_regclass('_sqlx_migrations') IS NOT NULL AS has_migrations,
    current_setting('max_connections')::bigint AS most_connections,
    (
        SELECT count(*)
        FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    ) AS connections,
    (
        SELECT count(*)
        FROM pg_stat_activity
        WHERE datname = current_database()
            AND application_name LIKE 'modash-analytics %'
            AND pid <> pg_backend_pid()
    ) AS own_connections
