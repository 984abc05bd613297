INSERT INTO marks (mark_id, marked_at, text, link) VALUES ($1, $2, $3, $4)
