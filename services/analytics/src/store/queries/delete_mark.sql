DELETE FROM marks WHERE mark_id = $1
