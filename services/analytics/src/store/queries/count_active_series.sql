-- How many series of a cube ($1) were active from $2 to before $3: exact if the
-- range ends now, else at most these.
SELECT count(*)
FROM series_activity
WHERE cube = $1 AND last_bucket >= $2 AND first_bucket < $3
