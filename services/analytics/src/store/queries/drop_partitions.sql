-- Drops the partitions of the days before one; gives how many.
SELECT drop_requests_partitions($1)
