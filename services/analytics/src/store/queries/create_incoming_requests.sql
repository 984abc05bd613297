-- Where requests wait until it is known which of them are new. Gone with the transaction:
-- behind a pooler the connection serves others next, perhaps of another version.
CREATE TEMPORARY TABLE incoming_requests (LIKE requests) ON COMMIT DROP
