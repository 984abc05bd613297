-- Whether a write that had begun still goes on: nobody ends it before this transaction has
-- ended, and if somebody did, it is not there.
SELECT true
FROM rollup_writes
WHERE number = 9223372036854775807 AND oldest < $1
LIMIT 1
FOR SHARE
