-- Forgets sessions whose last request began before $1.
DELETE FROM sessions WHERE last_started_at < $1
