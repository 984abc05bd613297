-- Adds finished requests; those that are there already stay as they are and are
-- left out of the answer.
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
    service_tier, error_type, token_gaps)
SELECT *
FROM unnest(
    $1::uuid[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[],
    $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[],
    $12::bigint[], $13::bigint[], $14::bigint[],
    $15::float8[], $16::float8[], $17::bigint[], $18::bigint[],
    $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[],
    $23::float8[], $24::float8[], $25::bigint[],
    $26::bigint[], $27::smallint[], $28::smallint[], $29::smallint[], $30::smallint[], $31::text[],
    $32::text[], $33::text[], $34::text[], $35::text[], $36::text[], $37::text[],
    $38::text[], $39::text[], $40::bytea[])
ON CONFLICT (started_at, event_id) DO NOTHING
RETURNING event_id
