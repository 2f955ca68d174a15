#!/bin/sh
# Counts to TO, a number every PACE seconds, and goes on where it was when it is started again.

to=${TO:-20} pace=${PACE:-0.5}
count=$(cat count 2>/dev/null || echo 0)
echo "from $count"

# Asked to stop: the number is on disk already. 143 says that there is more to do.
trap 'echo "stopped at $count"; exit 143' TERM

while [ "$count" -lt "$to" ]; do
    sleep "$pace"
    count=$((count + 1))
    # A reader sees the old number or the new one, never half of one.
    echo "$count" > count.part && mv count.part count
    printf '{"fraction": %s, "step": %d, "total_steps": %d}\n' \
        "$(awk "BEGIN { print $count / $to }")" "$count" "$to" > progress.part
    mv progress.part progress
    echo "$count of $to"
done
