"""Many seeds, on as many cores as there are."""

import gc
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.simulation.run import Outcome, simulate
from tests.simulation.world import Shape

RunMany: TypeAlias = Callable[[Iterable[int]], Iterator[Outcome]]


@dataclass
class Tally:
    """What came of them."""

    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    ends: Counter[str] = field(default_factory=Counter[str])
    failed: list[Outcome] = field(default_factory=list[Outcome])
    virtual: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        self.faults.update(fault.kind for fault in outcome.faults)
        self.ends.update(outcome.ends)
        self.virtual += outcome.virtual
        if outcome.violations:
            self.failed.append(outcome)

    def seconds(self) -> float:
        return max(time.monotonic() - self.began, 1e-9)

    def told(self) -> str:
        seconds = self.seconds()
        lines = [
            f"{self.runs} schedules, {sum(self.faults.values())} faults, "
            f"{len(self.failed)} failed; {seconds:.1f} s, {self.runs / seconds:.1f} schedules/s, "
            f"{self.virtual / seconds:.0f} simulated seconds each second",
            "jobs: " + ", ".join(f"{count} {end}" for end, count in self.ends.most_common()),
            "faults: " + ", ".join(f"{count} {kind}" for kind, count in self.faults.most_common()),
        ]
        return "\n".join(lines)


def shape_of(seed: int, shape: Shape) -> Shape:
    """Every third seed has workers of two slots, where the shape leaves that open."""
    return shape if shape.slots else Shape(**{**vars(shape), "slots": 2 if seed % 3 == 0 else 1})


def run_one(task: tuple[int, Shape]) -> Outcome:
    seed, shape = task
    return simulate(seed, shape_of(seed, shape))


@contextmanager
def crew(shape: Shape, processes: int | None = None) -> Generator[RunMany]:
    """Runs many seeds, in no order, as often as asked. Nothing of one run is left for the next."""
    count = processes or os.cpu_count() or 1
    if count == 1:
        yield lambda seeds: map(run_one, ((seed, shape) for seed in seeds))
        return
    with multiprocessing.get_context("spawn").Pool(count, _settle) as pool:
        yield lambda seeds: pool.imap_unordered(
            run_one, ((seed, shape) for seed in seeds), chunksize=4
        )


def _settle() -> None:
    """What was imported is never garbage; looking at it after each run would cost."""
    gc.collect()
    gc.freeze()
