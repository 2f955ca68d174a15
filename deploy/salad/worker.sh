#!/bin/bash
# One RelayMD worker as the container of a Salad replica. Usage: worker.sh [SECONDS]
#
# Salad starts a container again as soon as it ends. So when the worker has left, the container stays
# for so many seconds more, in which the orchestrator takes the replica away; where it does not,
# because there is new work or nobody is there to do it, the next worker starts.
set -u

linger=${1:-20}
told='' child=''

# shellcheck disable=SC2317,SC2329 # the trap calls it
hear() {
    told=yes
    if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null; fi
}
trap hear TERM INT

# wait_for PID: its exit code, whatever signals come meanwhile.
wait_for() {
    local code=0
    while :; do
        wait "$1"
        code=$?
        kill -0 "$1" 2>/dev/null || break # else it was a signal that ended the wait
    done
    return "$code"
}

relaymd-worker </dev/null &
child=$!
[ -z "$told" ] || kill -TERM "$child" 2>/dev/null # it came before we knew the child
wait_for "$child"
code=$?
child=''
[ -z "$told" ] || exit "$code"

printf 'relaymd: the worker ended with %s; its machine stays for %s s\n' "$code" "$linger" >&2
sleep "$linger" &
child=$!
[ -z "$told" ] || kill "$child"
wait "$child" # a signal ends this wait, and the sleep
exit "$code"
