"""What a churn of allocations costs: when they end, and what the engines' tallies say was lost.

Nothing here runs anything; `bench_churn` does.
"""

import random
from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.rows import Row, at_most

MINUTE, HOUR = 60.0, 3600.0

ENGINE_WRITES_EVERY = 15 * MINUTE
"""Seconds of the real thing between two checkpoints of the engine, where nobody tells it to."""

STORED_EVERY = 5 * MINUTE
"""Seconds of the real thing between two looks for a checkpoint to store: our default."""

PACE = 0.1
"""Seconds a step takes here."""


class Churn(msgspec.Struct, frozen=True, kw_only=True):
    """How long allocations live, and how much faster than the real thing."""

    name: str
    life: float
    """Seconds of the real thing; where they differ, the mean."""

    poisson: bool
    """Whether ends come as a Poisson process; otherwise each life is as long as the others."""

    compression: float

    def lives(self, rng: random.Random) -> Iterator[float]:
        """Seconds here that one allocation after the other lives."""
        mean = self.life / self.compression
        while True:
            yield rng.expovariate(1 / mean) if self.poisson else mean

    @property
    def steps_between_checkpoints(self) -> int:
        return max(round(ENGINE_WRITES_EVERY / self.compression / PACE), 1)

    @property
    def stored_every(self) -> float:
        """Seconds here."""
        return STORED_EVERY / self.compression


POISSON = Churn(name="Poisson ends, mean 10 h", life=10 * HOUR, poisson=True, compression=600)
CHUNKS = Churn(name="30-minute chunks", life=30 * MINUTE, poisson=False, compression=120)
"""Less compressed: a worker's own start, which is not, would be most of a chunk of 3 s."""


class Step(msgspec.Struct, frozen=True):
    """One step that an engine has done, whether it counted or not."""

    number: int
    at: float
    engine: int
    """Its process."""


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What preemptions cost: those that ended a process which had computed something."""

    preemptions: int = 0
    redone: int = 0
    """Steps."""

    idle: float = 0.0
    """Seconds from the last step of one engine to the first of the next, less that step's own."""

    beside: int = 0
    """Steps of an engine whose successor computed already."""

    def plus(self, other: "Loss") -> "Loss":
        return Loss(
            preemptions=self.preemptions + other.preemptions,
            redone=self.redone + other.redone,
            idle=self.idle + other.idle,
            beside=self.beside + other.beside,
        )

    def each(self, churn: Churn) -> float:
        """GPU-seconds of the real thing that one preemption cost.

        What is computed again grows with the compression; a hand-over takes here what it takes.
        """
        return (self.redone * PACE * churn.compression + self.idle) / max(self.preemptions, 1)


def steps(tally: str) -> list[Step]:
    """What an engine told with `--tally` wrote; a last line that was cut is left out."""
    found: list[Step] = []
    for line in tally.splitlines(keepends=True):
        words = line.split()
        if line.endswith("\n") and len(words) == 3:
            found.append(Step(int(words[0]), float(words[1]), int(words[2])))
    return found


def loss(done: Sequence[Step]) -> Loss:
    """Of one job, from all steps that its engines did, in the order in which they were done."""
    found, engines = Loss(), [step.engine for step in done[:1]]
    last = done[0] if done else None
    for step in done[1:]:
        assert last is not None
        if step.engine == last.engine:
            last = step
        elif step.engine in engines:
            found = found.plus(Loss(beside=1))
        else:
            engines.append(step.engine)
            again = max(last.number - step.number + 1, 0)
            idle = max(step.at - last.at - PACE, 0.0)
            found = found.plus(Loss(preemptions=1, redone=again, idle=idle))
            last = step
    return found


def rows(churn: Churn, drained: Loss, killed: Loss, bare: Loss, wrong: int) -> list[Row]:
    """wrong: jobs whose own books do not have each step exactly once."""

    def lost(how: str, ours: Loss, other: Loss, beside: str) -> Row:
        return Row(
            what=f"GPU-seconds lost a preemption, {churn.name}, {how}",
            figure=ours.each(churn),
            unit=f"s (of {ours.preemptions})",
            beside=other.each(churn),
            beside_what=f"{beside}, of {other.preemptions}",
        )

    return [
        lost("drained", drained, killed, "without drain"),
        lost("with drain", drained, bare, "the engine's last checkpoint only"),
        lost("without drain", killed, bare, "the engine's last checkpoint only"),
        Row(
            what=f"idle in a hand-over, {churn.name}",
            figure=drained.idle / max(drained.preemptions, 1),
            unit="s",
            beside=bare.idle / max(bare.preemptions, 1),
            beside_what="the engine alone, started again",
        ),
        Row(
            what=f"jobs that have not each step exactly once, {churn.name}",
            figure=wrong,
            unit="",
            aim=at_most(0),
        ),
        Row(
            what=f"steps of an engine beside its successor, {churn.name}",
            figure=drained.beside + killed.beside,
            unit="",
            aim=at_most(0),
        ),
    ]
