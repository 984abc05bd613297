DELETE FROM names WHERE kind = $1 AND id = $2
