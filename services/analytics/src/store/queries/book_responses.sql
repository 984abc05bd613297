-- Books the counts of responses with these events, unless others have; gives who has.
-- Writers come in the order of the keys, so that they do not wait in circles. The
-- update changes nothing: it waits for a writer before us, and gives its event.
INSERT INTO booked_responses (response_key, event_id, booked_at)
SELECT response_key, event_id, now()
FROM unnest($1::uuid[], $2::uuid[]) AS booking (response_key, event_id)
ORDER BY response_key
ON CONFLICT (response_key) DO UPDATE SET event_id = booked_responses.event_id
RETURNING response_key, event_id
