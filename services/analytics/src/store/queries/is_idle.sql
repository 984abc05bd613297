-- Whether no transaction was open before this statement: then it is the first one
-- of its own transaction, and both have the same time. Sent as a simple query: in the
-- extended protocol, the transaction begins with the binding of parameters, and the
-- statement a moment later, with its execution.
SELECT transaction_timestamp() = statement_timestamp()
