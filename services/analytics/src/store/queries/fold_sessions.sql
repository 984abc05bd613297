-- Moves at most $1 changes into the sessions; gives how many. Only by the one process
-- that holds the lock of the rollups.
WITH taken AS (
    DELETE FROM session_changes
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM session_changes LIMIT $1::bigint))
    RETURNING *
),
moved AS (
    INSERT INTO sessions AS known (
        session_id, series_id, first_started_at, last_started_at, last_ended_at, requests,
        failed_requests, prompt_tokens, cached_prompt_tokens, completion_tokens,
        total_tokens, cost_nano_usd, cache_saving_nano_usd, known_costs, unknown_costs,
        estimated_costs, duration_us, session)
    SELECT session_id, series_id, min(first_started_at), max(last_started_at),
           max(last_ended_at),
           sum(requests), sum(failed_requests), sum(prompt_tokens),
           sum(cached_prompt_tokens), sum(completion_tokens), sum(total_tokens),
           sum(cost_nano_usd), sum(cache_saving_nano_usd), sum(known_costs),
           sum(unknown_costs), sum(estimated_costs), sum(duration_us),
           min(session)
    FROM taken
    GROUP BY session_id, series_id
    ON CONFLICT (session_id, series_id) DO UPDATE SET
        first_started_at = least(known.first_started_at, excluded.first_started_at),
        last_started_at = greatest(known.last_started_at, excluded.last_started_at),
        last_ended_at = greatest(known.last_ended_at, excluded.last_ended_at),
        requests = known.requests + excluded.requests,
        failed_requests = known.failed_requests + excluded.failed_requests,
        prompt_tokens = known.prompt_tokens + excluded.prompt_tokens,
        cached_prompt_tokens = known.cached_prompt_tokens + excluded.cached_prompt_tokens,
        completion_tokens = known.completion_tokens + excluded.completion_tokens,
        total_tokens = known.total_tokens + excluded.total_tokens,
        cost_nano_usd = known.cost_nano_usd + excluded.cost_nano_usd,
        cache_saving_nano_usd = known.cache_saving_nano_usd + excluded.cache_saving_nano_usd,
        known_costs = known.known_costs + excluded.known_costs,
        unknown_costs = known.unknown_costs + excluded.unknown_costs,
        estimated_costs = known.estimated_costs + excluded.estimated_costs,
        duration_us = known.duration_us + excluded.duration_us
)
SELECT count(*) FROM taken
