-- Makes room for sums of everything.
DELETE FROM sessions;
DELETE FROM session_changes
