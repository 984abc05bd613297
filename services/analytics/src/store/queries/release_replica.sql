-- Frees a replica whose stream has ended.
DELETE FROM replica_owners WHERE replica_id = $1 AND stream = $2
