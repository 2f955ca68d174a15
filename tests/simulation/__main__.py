"""`python -m tests.simulation`: any number of schedules, or one of them and its story."""

import argparse
import itertools
import sys

from tests.simulation.many import RunMany, Tally, crew, shape_of
from tests.simulation.mutants import MUTANTS, found_after
from tests.simulation.run import USUAL, simulate
from tests.simulation.shrink import shrunk, told
from tests.simulation.world import Shape

AT_ONCE = 400
"""Schedules between two looks at the clock."""


def main() -> int:
    arguments = parser().parse_args()
    shape = Shape(
        jobs=arguments.jobs,
        workers=arguments.workers,
        faults=arguments.faults,
        slots=arguments.slots,
    )
    if arguments.planted:
        return planted(arguments.count)
    if arguments.story or arguments.only is not None:
        return one(arguments.seed, shape, arguments.only, whole=arguments.story)
    tally = Tally()
    with crew(shape, arguments.processes) as run:
        for first in itertools.count(arguments.seed, AT_ONCE):
            left = AT_ONCE if arguments.seconds else arguments.seed + arguments.count - first
            many(run, range(first, first + min(left, AT_ONCE)), tally)
            out_of_time = tally.seconds() >= arguments.seconds > 0
            if out_of_time or (left <= AT_ONCE and not arguments.seconds):
                break
    write(tally.told())
    return 1 if tally.failed else 0


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    found.add_argument("--seed", type=int, default=0, help="the first, or the only one")
    found.add_argument("--count", type=int, default=1000, help="how many schedules")
    found.add_argument("--seconds", type=float, default=0.0, help="as many as fit, instead")
    found.add_argument("--jobs", type=int, default=USUAL.jobs)
    found.add_argument("--workers", type=int, default=USUAL.workers)
    found.add_argument("--slots", type=int, default=0, help="of each worker; 0: differs by seed")
    found.add_argument("--faults", type=int, default=USUAL.faults, help="beside the weather")
    found.add_argument("--processes", type=int, default=None)
    found.add_argument("--only", type=numbers, default=None, help="of the faults: 0,3,5 or none")
    found.add_argument("--story", action="store_true", help="tell all of one seed")
    found.add_argument("--planted", action="store_true", help="look for the planted bugs instead")
    return found


def numbers(text: str) -> list[int]:
    return [] if text == "none" else [int(word) for word in text.split(",")]


def planted(count: int) -> int:
    """After how many schedules each planted bug is found."""
    missed = 0
    for mutant in MUTANTS:
        after = found_after(mutant, count)
        missed += after is None
        write(f"{mutant.name}: {f'found after {after}' if after else f'not found in {count}'}")
    return 1 if missed else 0


def one(seed: int, shape: Shape, only: list[int] | None, *, whole: bool) -> int:
    outcome = simulate(seed, shape_of(seed, shape), only=only, keep=whole)
    write(told(outcome, last=len(outcome.story) if whole else 60))
    return 1 if outcome.violations else 0


def many(run: RunMany, seeds: range, tally: Tally) -> None:
    for outcome in run(seeds):
        tally.add(outcome)
        if outcome.violations:
            write(told(shrunk(outcome), last=40))


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
