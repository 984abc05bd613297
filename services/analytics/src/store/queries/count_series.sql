-- How many full dimension sets there are.
SELECT count(*) FROM series WHERE cube = 0
