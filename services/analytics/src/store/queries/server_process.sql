-- The process of the server that answers, and what tells its database from others.
-- Sent as a simple query.
SELECT
    pg_backend_pid() AS process,
    concat_ws(
        ' ',
        extract(epoch FROM pg_postmaster_start_time()),
        (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS database
