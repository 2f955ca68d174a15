#!/bin/sh
# Called by in.melt when a restart file is whole: give it its name, say how far it is.
#
#   sh saved.sh STEP STEPS
set -eu
awk -v step="$1" -v steps="$2" 'BEGIN {
    printf "{\"fraction\": %.6f, \"step\": %d, \"total_steps\": %d}\n", step / steps, step, steps
}' > progress.new
mv melt.restart.new melt.restart
mv progress.new progress
# Tell the worker that a checkpoint lies there; without a worker nobody wants to know.
[ -z "${RELAYMD_NOTICES:-}" ] || echo checkpoint > "$RELAYMD_NOTICES"
