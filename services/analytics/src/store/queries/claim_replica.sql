-- Gives a replica to the stream of a token if it is nobody's, or the token's own, or that
-- of the owner that may be replaced, or of one that fell silent without a word, as when
-- analytics was killed; gives the owner then.
INSERT INTO replica_owners AS owners (replica_id, token, stream, spoke_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (replica_id) DO UPDATE
SET (token, stream, spoke_at) = (
    SELECT token, stream, spoke_at
    FROM (VALUES
        (1, excluded.token, excluded.stream, excluded.spoke_at),
        (2, owners.token, owners.stream, owners.spoke_at)
    ) AS claim (place, token, stream, spoke_at)
    WHERE place = 2
        OR owners.token IN ($2, $5)
        OR (
            owners.spoke_at < $6
            AND NOT EXISTS (
                SELECT FROM replica_runs
                WHERE replica_runs.replica_id = $1 AND replica_runs.reported_at >= $6
            )
        )
    ORDER BY place
    LIMIT 1
)
RETURNING token
