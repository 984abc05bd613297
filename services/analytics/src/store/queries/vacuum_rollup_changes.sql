-- Gives back the room of changes that were moved.
VACUUM (SKIP_LOCKED) rollup_changes
