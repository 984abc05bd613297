-- For the transaction that begins with it.
SET LOCAL transaction_read_only = on
