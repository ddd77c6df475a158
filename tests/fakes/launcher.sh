#!/bin/bash
# In place of ring3-launch and the driver's process: says what they say, and reads what they are sent. Its number
# is in the cache of its version. One of the version "slow" never gets as far as to wait.
while [[ $1 != -- ]]; do
	[[ $1 == --fd ]] && socket=$2
	shift
done
walls='{"namespaces":"off","landlock":"off","seccomp":"off","cgroup":"off"}'
echo '{"type":"launched","pid":'$$',"walls":'"$walls"'}'
echo $$ >"$DENO_DIR/pid"
[[ $DENO_DIR == */slow ]] && read -r -N 1 -u "$socket"
echo '{"type":"waiting"}'
read -r -N 1 -u "$socket" || exit 0
echo '{"type":"ready"}'
read -r -N 1 -u "$socket"
