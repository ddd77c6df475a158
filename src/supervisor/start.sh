#!/bin/sh
# Runs a command in a mount namespace of its own, in which $RING3_MACHINE holds /sys and /proc a second time.
# Deno denies both to every process that lacks any permission; below another name it can be given parts.
set -e
mkdir -p "$RING3_MACHINE/sys" "$RING3_MACHINE/proc"
exec unshare --mount --propagation slave sh -ec '
	mount --bind /sys "$RING3_MACHINE/sys"
	mount --bind /proc "$RING3_MACHINE/proc"
	exec "$@"
' sh "$@"
