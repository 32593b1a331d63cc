#!/bin/bash
# `find` and `comm`: the names of last time against those of now, one new name a line on standard output.
#     compare.sh ROOT SECONDS WORK [MINIMUM_AGE]
# What a careful user would write: a failed `find` is no list, and with MINIMUM_AGE (seconds) files that were changed
# since then are left for the next pass (find(1): -newermt).
set -uo pipefail
export LC_ALL=C
root=$1 interval=$2 work=$3 age=${4:-}

list() {
    local old=()
    if [[ -n $age ]]; then old=(! -newermt "$age seconds ago"); fi
    find "$root" -type f "${old[@]}" -printf '%P\n' | sort >"$work/$1"
}

list last || exit 1
while true; do
    # So much from the beginning of a pass to that of the next.
    sleep "$interval" &
    if list now; then
        comm -13 "$work/last" "$work/now"
        mv "$work/now" "$work/last"
    fi
    wait $!
done
