-- Adds the requests that wait; those that are there already stay as they are and
-- are left out of the answer, which is in the order of the key. They were sent in
-- that order, but after a failed transaction they may lie in another one.
INSERT INTO requests (
    event_id, started_at, series_id, prompt_tokens, cached_prompt_tokens,
    cache_write_tokens, completion_tokens, reasoning_tokens,
    audio_prompt_tokens, audio_completion_tokens, total_tokens,
    billed_prompt_tokens, billed_completion_tokens, billed_audio_us,
    search_units, upstream_cost_usd, connect_us, upstream_head_us,
    first_token_us, last_token_us, duration_us, content_events,
    prefill_tokens_per_second, decode_tokens_per_second, request_bytes,
    response_bytes, outcome, usage_source, speed_source, status, replica_id,
    method, path, model_requested, session, response_id, finish_reason,
    service_tier, error_type, token_gaps, kind_id, trace_id,
    span_id, parent_span_id)
SELECT
    event_id, started_at, series_id, prompt_tokens, cached_prompt_tokens,
    cache_write_tokens, completion_tokens, reasoning_tokens,
    audio_prompt_tokens, audio_completion_tokens, total_tokens,
    billed_prompt_tokens, billed_completion_tokens, billed_audio_us,
    search_units, upstream_cost_usd, connect_us, upstream_head_us,
    first_token_us, last_token_us, duration_us, content_events,
    prefill_tokens_per_second, decode_tokens_per_second, request_bytes,
    response_bytes, outcome, usage_source, speed_source, status, replica_id,
    method, path, model_requested, session, response_id, finish_reason,
    service_tier, error_type, token_gaps, kind_id, trace_id,
    span_id, parent_span_id
FROM incoming_requests
ORDER BY started_at, event_id
ON CONFLICT (started_at, event_id) DO NOTHING
RETURNING event_id
