-- Cancels a statement soon after its client closed the connection. Without this
-- setting the server notices only when it sends the result.
SET client_connection_check_interval = '250ms'
