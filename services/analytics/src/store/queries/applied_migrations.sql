-- The migrations that were applied, or begun.
SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version
