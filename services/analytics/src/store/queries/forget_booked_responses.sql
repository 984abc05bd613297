-- Forgets bookings older than the requests that are kept.
DELETE FROM booked_responses WHERE booked_at < $1
