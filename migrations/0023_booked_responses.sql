-- Which event has booked the counts of a response that several calls may show: a
-- background response, which is created by one call and polled by others. Written in
-- the transaction that stores the event. The key is a hash of the upstream's name and
-- the response's id. Rows are deleted with the retention of requests.
CREATE TABLE booked_responses (
    response_key uuid        PRIMARY KEY,
    event_id     uuid        NOT NULL,
    booked_at    timestamptz NOT NULL
);

CREATE INDEX booked_responses_booked_at ON booked_responses (booked_at);
