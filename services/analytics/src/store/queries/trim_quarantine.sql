-- Keeps the newest 10,000: the ids are in the order of time.
DELETE FROM quarantine
WHERE quarantine_id <= (
    SELECT quarantine_id FROM quarantine ORDER BY quarantine_id DESC OFFSET 10000 LIMIT 1)
