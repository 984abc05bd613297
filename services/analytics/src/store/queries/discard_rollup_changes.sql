-- Takes away the changes of the minutes from $1 to before $2.
DELETE FROM rollup_changes WHERE bucket >= $1 AND bucket < $2
