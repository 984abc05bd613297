-- Gives a replica to a token if it is nobody's, or the token's own, or that of the
-- owner that may be replaced; gives the owner then.
INSERT INTO replica_owners AS owners (replica_id, token, spoke_at)
VALUES ($1, $2, $4)
ON CONFLICT (replica_id) DO UPDATE
SET token = CASE WHEN owners.token = $3 THEN excluded.token ELSE owners.token END,
    spoke_at = CASE WHEN owners.token IN ($2, $3) THEN excluded.spoke_at ELSE owners.spoke_at END
RETURNING token
