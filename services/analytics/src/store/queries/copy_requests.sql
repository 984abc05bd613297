COPY requests (
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
FROM STDIN (FORMAT binary)
