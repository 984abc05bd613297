-- Responses with the keys $1, and those that wait for one of $2.
SELECT * FROM response_links WHERE response_key = ANY ($1::uuid[])
UNION
SELECT * FROM response_links WHERE waits_for = ANY ($2::uuid[])
