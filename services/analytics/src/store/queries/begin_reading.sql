-- Rows of rollups are put together by hashing: the planner expects few, and would
-- sort them. Statements about them have one good plan whatever their values, and
-- some twenty of them make an answer: making plans took a third of its time.
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL enable_sort = off;
SET LOCAL plan_cache_mode = force_generic_plan
