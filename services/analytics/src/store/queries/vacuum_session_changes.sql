-- Gives back the room of changes that were moved.
VACUUM (SKIP_LOCKED) session_changes
