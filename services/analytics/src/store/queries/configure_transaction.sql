-- configure_connection.sql and watch_the_client.sql for one transaction, behind a pooler
-- that gives the next one another connection. A simple query without parameters: {timeout}
-- is replaced. No mode of the plan cache: statements that are not kept are planned for
-- the values at hand. Servers on Windows cannot watch the client.
SET LOCAL statement_timeout = {timeout};
SET LOCAL jit = off;
SET LOCAL work_mem = '16MB';
SET LOCAL TimeZone = 'UTC';
SELECT set_config(
    'client_connection_check_interval',
    CASE WHEN version() ~* 'mingw|msvc|visual' THEN '0' ELSE '250ms' END,
    true
)
