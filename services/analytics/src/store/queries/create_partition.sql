-- Makes the partition of a day unless it is there.
SELECT create_requests_partition($1)
