-- The trace that a request belongs to (16 bytes), the proxy's span and the client's.
-- Rows without a trace take no space for them. `uuid` is the type of 16 bytes that
-- has no header and no padding; a trace id is none.
ALTER TABLE requests
    ADD COLUMN trace_id       uuid,
    ADD COLUMN span_id        bigint,
    ADD COLUMN parent_span_id bigint;

-- A filter by trace reads single requests. New partitions get this index, the next
-- migration adds it to those that are there.
CREATE INDEX requests_trace ON ONLY requests (trace_id) WHERE trace_id IS NOT NULL;
