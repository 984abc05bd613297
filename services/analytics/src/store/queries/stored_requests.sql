-- Which requests of these keys are there.
SELECT event_id
FROM unnest($1::timestamptz[], $2::uuid[]) AS asked (started_at, event_id)
WHERE EXISTS (
    SELECT FROM requests
    WHERE requests.started_at = asked.started_at AND requests.event_id = asked.event_id)
