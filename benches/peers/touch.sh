#!/bin/bash
# The touch job under inotifywait: each file whose writer closed it, one a line on standard output.
#     touch.sh ROOT SECONDS
# With `{} +` instead of the usual `{} \;`: the same calls on the files, without a process for each of them.
set -uo pipefail
root=$1 interval=$2

inotifywait --quiet --monitor --recursive --event close_write --format '%w%f' "$root" &
trap 'kill %1' EXIT
while true; do
    # So much from the beginning of a pass to that of the next.
    sleep "$interval" &
    pause=$!
    find "$root" -type f -exec touch {} +
    wait "$pause"
done
