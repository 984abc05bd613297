-- How many kinds of requests there are.
SELECT count(*) FROM kinds
