-- Gives back the room of notes that were worked on.
VACUUM (SKIP_LOCKED) response_notes
