-- Rows of rollups are put together by hashing: the planner expects few, and would
-- sort them.
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL enable_sort = off
