-- All full dimension sets.
SELECT series_id, model, upstream, dialect, operation, stream, client_key,
       user_name, user_agent_family, tags
FROM series
WHERE cube = 0
