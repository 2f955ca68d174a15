"""What waits, as the planning of allocations sees it: classes that are alike count as one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from relaymd.core.ids import UnixTime
from relaymd.core.job import Job
from relaymd.core.likeness import Likeness
from relaymd.core.resources import Requirements


class Class(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs with equal requirements that may run now."""

    need: Requirements
    line: Sequence[Job]
    """The most urgent first; at least one."""

    since: UnixTime
    """When the oldest joined the queue."""


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that may run now and have no place, of classes that no place can tell apart.

    Times are in seconds.
    """

    need: Requirements
    """In the words of the places there are (`core.likeness`)."""

    waiting: int
    overdue: int = 0
    """Of these, how many have waited longer than Salad is kept out."""

    oldest: float = 0.0
    """How long the oldest has waited in its present stay in the queue."""

    priority: int = 0
    """The highest of them."""

    running: int = 0
    """Jobs with such a need that hold a lease."""

    since_turn: float = float("inf")
    """How long ago something was asked for on their behalf, as far as is remembered."""

    classes: Sequence[Class] = ()
    """Those that have waited longest first, and so are taken to be served first."""

    @property
    def patience(self) -> float:
        """How long it has waited for its turn; what comes after a turn waits for the next."""
        return min(self.oldest, self.since_turn)

    def ahead(self) -> Iterator[tuple[Requirements, int]]:
        """Each class, and how many jobs of the others come before its own."""
        if not self.classes:
            yield self.need, 0
        before = 0
        for each in self.classes:
            yield each.need, before
            before += len(each.line)


def demands(
    lines: Mapping[Requirements, Sequence[Job]],
    leased: Iterable[Job],
    turns: Mapping[Requirements, float],
    likeness: Likeness,
    *,
    now: UnixTime,
    overflow_after: float,
) -> list[Demand]:
    """lines: the waiting jobs of each class, the most urgent first.

    turns: as `since_turn`, by what the jobs themselves need: how they are put together now may
    be another way than they were at their turn.
    """
    running: dict[Requirements, int] = {}
    for job in leased:
        need = likeness.of(job.requirements)
        running[need] = running.get(need, 0) + 1
    return [
        _demand(need, priority, classes, now, overflow_after, running, turns)
        for (need, priority), classes in _alike(lines, likeness).items()
    ]


def _alike(
    lines: Mapping[Requirements, Sequence[Job]], likeness: Likeness
) -> Mapping[tuple[Requirements, int], list[Class]]:
    """By need and urgency: whoever is more urgent gets no company that is less."""
    found: dict[tuple[Requirements, int], list[Class]] = {}
    for need, line in lines.items():
        if line:
            since = min(job.queued_at for job in line)
            alike = found.setdefault((likeness.of(need), line[0].priority), [])
            alike.append(Class(need=need, line=line, since=since))
    return found


def _demand(
    need: Requirements,
    priority: int,
    classes: list[Class],
    now: UnixTime,
    overflow_after: float,
    running: Mapping[Requirements, int],
    turns: Mapping[Requirements, float],
) -> Demand:
    late = now - overflow_after
    classes.sort(key=lambda each: each.since)
    return Demand(
        need=need,
        waiting=sum(len(each.line) for each in classes),
        overdue=sum(job.queued_at <= late for each in classes for job in each.line),
        oldest=max(now - classes[0].since, 0.0),
        priority=priority,
        running=running.get(need, 0),
        since_turn=min(turns.get(each.need, float("inf")) for each in classes),
        classes=classes,
    )
