-- Notes what a commit adds to sessions.
COPY session_changes (
    session_id, series_id, first_started_at, last_started_at, last_ended_at, requests,
    failed_requests, prompt_tokens, cached_prompt_tokens, completion_tokens, total_tokens,
    cost_nano_usd, cache_saving_nano_usd, known_costs, unknown_costs, estimated_costs,
    duration_us, session)
FROM STDIN (FORMAT binary)
