# Runs one PostgreSQL server and ends it with its owner.
#
# Standard input is a pipe that the owner holds open and never writes to. It
# ends when the owner closes it and also when the owner is killed, since the
# system then closes it. The guard is in a process group of its own: Ctrl-C is
# for the owner, which still needs the database while it stops.
#
# $1: a directory to remove after the server, or empty; $2…: the server.
trap '' HUP INT TERM
remove=$1
shift
# A background job gets an empty standard input, so the pipe moves to 3.
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
(
  read -r line <&3
  # Fast shutdown; then an immediate one, after which the next start recovers.
  for step in INT:15 QUIT:5 KILL:5; do
    kill -"${step%:*}" "$server" || exit 0
    seconds=${step#*:}
    while [ "$seconds" -gt 0 ] && kill -0 "$server"; do
      sleep 1
      seconds=$((seconds - 1))
    done
  done
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -KILL "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
if [ -n "$remove" ]; then
  rm -rf -- "$remove"
fi
exit "$status"
