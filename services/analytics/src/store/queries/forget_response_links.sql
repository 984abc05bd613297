-- Forgets responses of requests that began before $1.
DELETE FROM response_links WHERE started_at < $1
