-- Whether no transaction was open before this statement: then it is the first one
-- of its own transaction, and both have the same time.
SELECT transaction_timestamp() = statement_timestamp()
