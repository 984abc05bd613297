-- Gives requests the sessions of their chains.
UPDATE requests r SET session = u.session
FROM unnest($1::timestamptz[], $2::uuid[], $3::text[]) AS u (started_at, event_id, session)
WHERE r.started_at = u.started_at AND r.event_id = u.event_id
