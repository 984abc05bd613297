DELETE FROM views WHERE name = $1
