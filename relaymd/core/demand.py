"""What waits, class by class, as the planning of allocations sees it."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from relaymd.core.ids import UnixTime
from relaymd.core.job import Job
from relaymd.core.resources import Requirements


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs of one class that may run now and have no place. Times are in seconds."""

    need: Requirements
    waiting: int
    overdue: int = 0
    """Of these, how many have waited longer than Salad is kept out."""

    oldest: float = 0.0
    """How long the oldest has waited in its present stay in the queue."""

    priority: int = 0
    """The highest of them."""

    running: int = 0
    """Jobs of the class that hold a lease."""

    since_turn: float = float("inf")
    """How long ago something was asked for on its behalf, as far as is remembered."""

    @property
    def patience(self) -> float:
        """How long it has waited for its turn; what comes after a turn waits for the next."""
        return min(self.oldest, self.since_turn)


def demands(
    lines: Mapping[Requirements, Sequence[Job]],
    leased: Iterable[Job],
    turns: Mapping[Requirements, float],
    *,
    now: UnixTime,
    overflow_after: float,
) -> list[Demand]:
    """lines: the waiting jobs of each class, the most urgent first. turns: as `since_turn`."""
    running: dict[Requirements, int] = {}
    for job in leased:
        if job.requirements in lines:
            running[job.requirements] = running.get(job.requirements, 0) + 1
    return [
        msgspec.structs.replace(
            _demand(need, line, now, overflow_after),
            running=running.get(need, 0),
            since_turn=turns.get(need, float("inf")),
        )
        for need, line in lines.items()
        if line
    ]


def _demand(
    need: Requirements, line: Sequence[Job], now: UnixTime, overflow_after: float
) -> Demand:
    since = [job.queued_at for job in line]
    late = now - overflow_after
    return Demand(
        need=need,
        waiting=len(since),
        overdue=sum(at <= late for at in since),
        oldest=max(now - min(since), 0.0),
        priority=line[0].priority,
    )
