-- Takes at most $1 notes of responses.
DELETE FROM response_notes
WHERE ctid = ANY (ARRAY(SELECT ctid FROM response_notes LIMIT $1::bigint))
RETURNING *
