#!/bin/sh
# A LAMMPS run that can be stopped at any instant: continued, and put together at the end.
#
#   sh run.sh        STEPS, EVERY and LMP may be set in the environment
set -eu

steps=${STEPS:-20000} every=${EVERY:-500} lmp=${LMP:-lmp}

# SIGTERM goes to the whole group and would end LAMMPS at once: it is told by a file instead,
# looks for it after each block of steps, writes its restart file and leaves with 143.
rm -f stop
(
    trap '' TERM # an ignored signal stays ignored in the program that is started
    exec $lmp -in in.melt -log none -var steps "$steps" -var every "$every"
) &
engine=$!
trap 'touch stop' TERM
code=143
while kill -0 "$engine" 2>/dev/null; do # a signal ends `wait`, not the engine
    code=0
    wait "$engine" || code=$?
done
[ "$code" -eq 0 ] || exit "$code"

# What a part holds beyond the step at which the next one begins was never saved, and is in that
# next part once more. So of each part only what lies between its own begin and the next counts.
parts() { # parts NAME SUFFIX: the numbers, in order
    ls | sed -n "s/^$1\.\([0-9]*\)\.$2\$/\1/p" | sort -n
}
join() { # join NAME SUFFIX PROGRAM: the parts as one file
    set -- "$1" "$2" "$3" $(parts "$1" "$2")
    name=$1 suffix=$2 program=$3
    shift 3
    : > "$name.new"
    while [ $# -gt 0 ]; do
        awk -v begin="$1" -v end="${2:-$steps}" "$program" "$name.$1.$suffix" >> "$name.new"
        shift
    done
    mv "$name.new" "$name.$suffix"
}
# LAMMPS repeats a row where a block of steps begins.
join thermo txt '!/^#/ && $1 > begin && $1 <= end { print; begin = $1 }'
join trajectory lammpstrj '
    /^ITEM: TIMESTEP/ { getline step; wanted = (step > begin || step == 0) && step <= end
                        if (wanted) { print; print step }; next }
    wanted'
echo "all $steps steps done"
