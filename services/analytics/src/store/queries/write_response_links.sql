-- Adds responses, and gives those that are there what became of them.
INSERT INTO response_links AS known (
    response_key, session, started_at, event_id, waits_for, joined)
SELECT *
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::boolean[])
ON CONFLICT (response_key) DO UPDATE SET
    session = excluded.session, waits_for = excluded.waits_for, joined = excluded.joined
