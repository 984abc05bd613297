-- Whether the schema was ever made.
SELECT to_regclass('requests') IS NOT NULL AND to_regclass('series') IS NOT NULL
