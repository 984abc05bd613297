-- Notes requests that may belong to chains of responses.
COPY response_notes (
    response_key, response_id, previous_key, previous_id, session, started_at, event_id)
FROM STDIN (FORMAT binary)
