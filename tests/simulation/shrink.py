"""Makes a failing run smaller while it still fails the same way."""

import re
from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.recipe import SOUND, Recipe
from tests.simulation.run import Outcome, simulate
from tests.simulation.world import Shape

VARYING = re.compile(r"[0-9]+(\.[0-9]+)?|\b[aiw]-[a-z0-9]+|(?<=[jw])-?[0-9]+")
"""What differs between two violations of one kind: ids, times, counts."""


def kind_of(outcome: Outcome) -> str:
    """The first violation without its particulars; empty: there is none."""
    return VARYING.sub("#", outcome.violations[0])[:60] if outcome.violations else ""


def shrunk(outcome: Outcome, *, recipe: Recipe = SOUND) -> Outcome:
    """The smallest run found that has a violation of the same kind."""
    wanted, smallest = kind_of(outcome), outcome
    while True:
        for shape, numbers in _smaller(smallest):
            tried = simulate(outcome.seed, shape, only=numbers, recipe=recipe)
            if kind_of(tried) == wanted:
                smallest = tried
                break
        else:
            return smallest


def _smaller(outcome: Outcome) -> Iterator[tuple[Shape, list[int]]]:
    """With one fault less, or a job less, or a worker less."""
    shape, numbers = outcome.shape, [fault.number for fault in outcome.faults]
    for leave_out in reversed(numbers):
        yield shape, [number for number in numbers if number != leave_out]
    if shape.jobs > 1:
        yield replace(shape, jobs=shape.jobs - 1), numbers
    if shape.workers > 1:
        yield replace(shape, workers=shape.workers - 1), numbers


def told(outcome: Outcome, *, last: int = 60) -> str:
    """Everything a person needs: what was violated, what happened, how to see it again."""
    shape = outcome.shape
    numbers = ",".join(str(fault.number) for fault in outcome.faults) or "none"
    return "\n".join(
        [
            f"seed {outcome.seed}: {shape.jobs} jobs, {shape.workers} workers of {shape.slots} "
            f"slots, {outcome.virtual:.1f} s, {outcome.turns} turns",
            *(f"  violated: {violation}" for violation in outcome.violations),
            *(f"  fault {fault}" for fault in outcome.faults),
            f"  the last {last} of {len(outcome.story)} lines:",
            *outcome.story[-last:],
            "  again: python -m tests.simulation --story "
            f"--seed {outcome.seed} --jobs {shape.jobs} --workers {shape.workers} "
            f"--slots {shape.slots} --faults {shape.faults} --only {numbers}",
        ]
    )
