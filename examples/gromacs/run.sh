#!/bin/sh
# A GROMACS run that can be stopped at any instant: made ready, continued, and put together.
#
#   sh run.sh        STEPS, GMX and MDRUN may be set in the environment
#
# Each segment writes parts of its own (`-noappend`). What a part holds beyond the checkpoint
# is in the next part once more, and is dropped where the parts are joined at the end.
set -eu

gmx=${GMX:-gmx}
steps=${STEPS:-20000}
mdrun=${MDRUN:--ntmpi 1 -ntomp 2 -cpt 0.1}
TERMINATED=143

# The process group is told to stop, so mdrun hears it by itself: it writes a checkpoint and ends
# with 1 or 2, as if it had failed (or with 0, as if it were done, where `-maxh` stops it). This
# shell has to outlive it to say the truth.
told=
trap 'told=yes' TERM

prepare() {
    "$gmx" -quiet solvate -cs spc216.gro -box 3 3 3 -o start.gro
    waters=$(grep -c OW start.gro)
    cat > topol.top <<TOP
#include "oplsaa.ff/forcefield.itp"
#include "oplsaa.ff/spc.itp"
[ system ]
Water
[ molecules ]
SOL $waters
TOP
    # Molecules that the box cut off lie too close: relax them first.
    printf '%s\n' 'integrator = steep' 'nsteps = 200' 'coulombtype = PME' \
        'define = -DFLEXIBLE' > relax.mdp
    "$gmx" -quiet grompp -f relax.mdp -c start.gro -p topol.top -o relax.tpr -po full.mdp
    "$gmx" -quiet mdrun -ntmpi 1 -ntomp 2 -deffnm relax
    sed "s/^nsteps .*/nsteps = $steps/" water.mdp > run.mdp
    "$gmx" -quiet grompp -f run.mdp -c relax.gro -p topol.top -o new.tpr -po full.mdp
    mv new.tpr topol.tpr
}

# Steps that the checkpoint holds; nothing where there is none.
reached() {
    [ -e state.cpt ] || return 1
    "$gmx" -quiet dump -cp state.cpt 2>/dev/null | awk '$1 == "step" { print $3; exit }'
}

# What is in the checkpoint, now and then: a guess from the log would run ahead of it.
say_progress() {
    step=$(reached) || return 0
    awk -v step="$step" -v steps="$steps" 'BEGIN {
        printf "{\"fraction\": %.6f, \"step\": %d, \"total_steps\": %d}\n", step / steps, step, steps
    }' > progress.new
    mv progress.new progress
}

watch_checkpoint() {
    trap - TERM
    seen=
    while sleep 1; do
        now=$(stat -c %Y.%i state.cpt 2>/dev/null) || continue
        if [ "$now" != "$seen" ]; then
            say_progress
            seen=$now
            # Tell the worker that a checkpoint lies there; without one nobody listens.
            [ -z "${RELAYMD_NOTICES:-}" ] || echo checkpoint > "$RELAYMD_NOTICES"
        fi
    done
}

[ -e topol.tpr ] || prepare
watch_checkpoint &
watcher=$!
code=0
# shellcheck disable=SC2086 - several words are meant
"$gmx" -quiet mdrun -s topol.tpr -deffnm md -cpi state.cpt -cpo state.cpt -noappend $mdrun \
    || code=$?
kill "$watcher" 2>/dev/null || true
[ "$code" -eq 0 ] || { [ -n "$told" ] && [ "$code" -le 2 ]; } || exit "$code"
say_progress
if [ "$(reached)" -lt "$steps" ]; then
    echo "told to stop: left at step $(reached) of $steps"
    exit $TERMINATED
fi

# One file of each kind. trjcat takes from the later part what two parts hold; eneconv would
# write the first such frame twice, so what the next part has again is cut off before. `-dt`
# leaves out the frame that a stop adds between the regular ones.
begin_of() {
    "$gmx" -quiet dump -e "$1" 2>/dev/null | awk '$1 == "time:" { print $2; exit }'
}
limit=
for part in $(ls -r md.part*.edr); do # the last one first
    begin=$(begin_of "$part")
    [ -n "$begin" ] || continue # stopped before it had written anything
    if [ -z "$limit" ]; then
        cp "$part" "cut.$part"
    elif awk -v a="$begin" -v b="$limit" 'BEGIN { exit !(a < b) }'; then
        end=$(awk -v b="$limit" 'BEGIN { print b - 0.05 }')
        "$gmx" -quiet eneconv -f "$part" -o "cut.$part" -e "$end"
    else
        continue # all of it is in the next part
    fi
    limit=$begin
done
"$gmx" -quiet eneconv -f cut.md.part*.edr -o energy.edr -dt 0.2
"$gmx" -quiet trjcat -f md.part*.xtc -o trajectory.xtc
echo "all $steps steps done"
