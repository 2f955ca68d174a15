"""What a run of chaos showed, in numbers."""

import asyncio
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from relaymd.core.ids import JobId
from tests.system.chaos.facts import Facts
from tests.system.chaos.faults import Struck
from tests.system.stack import Stack

RUNS_AGAIN = {"launched", "completed", "failed", "cancelled"}
HEARD_AGAIN = {*RUNS_AGAIN, "checkpointed"}
LONG = 30.0
"""Seconds; growth in a shorter life says nothing."""


def recoveries(struck: Sequence[Struck], facts: Facts) -> dict[str, list[float]]:
    """Seconds from each fault to the next sign of life, by kind.

    Where a job was struck again before that, only the last of these faults counts: the time from
    an earlier one says how often it was struck.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for fault in struck:
        if fault.recovered is not None:
            found[fault.kind].append(fault.recovered)
        signs = RUNS_AGAIN if fault.kind in ("SIGKILL worker", "SIGTERM worker") else HEARD_AGAIN
        for job in fault.jobs:
            after = _first_sign(facts, job, signs, fault.at)
            if after is not None and not _struck_within(struck, job, fault.at, after):
                found[fault.kind].append(after)
    return found


def noticed(struck: Sequence[Struck], facts: Facts) -> list[float]:
    """Seconds from each death of a worker until its job was taken from it."""
    found = (
        _first_sign(facts, job, {"interrupted"}, fault.at)
        for fault in struck
        if fault.kind == "SIGKILL worker"
        for job in fault.jobs
    )
    return [after for after in found if after is not None]


def _struck_within(struck: Sequence[Struck], job: JobId, since: float, seconds: float) -> bool:
    return any(job in other.jobs and since < other.at <= since + seconds for other in struck)


def _first_sign(facts: Facts, job: JobId, signs: set[str], since: float) -> float | None:
    times = (facts.came[fact.seq] for fact in facts.of(job) if fact.kind in signs)
    first = next((at for at in times if at > since), None)
    return first - since if first is not None else None


def table(
    struck: Sequence[Struck], facts: Facts, *, seed: int, seconds: float, lines: Sequence[str]
) -> str:
    times = recoveries(struck, facts)
    every = [second for found in times.values() for second in found]
    rows = [f"chaos: seed {seed}, {seconds:.0f} s, {len(struck)} faults"]
    for kind, count in sorted(Counter(fault.kind for fault in struck).items()):
        rows.append(f"  {kind:24}{count:5}   {_spread(times.get(kind, []))}")
    if deaths := noticed(struck, facts):
        rows.append(f"  {'of killed workers':24}{len(deaths):5}   {_spread(deaths, 'noticed')}")
    return "\n".join([*rows, f"  {'all':24}{len(struck):5}   {_spread(every)}", *lines])


def _spread(seconds: Sequence[float], what: str = "recovered") -> str:
    if not seconds:
        return ""
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{what} in {statistics.median(ordered):5.2f} s (median), {p99:5.2f} s (p99)"


class Memory:
    """Resident memory of the parts of the stack, life by life."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._seen: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)

    async def watch(self) -> None:
        while True:
            for name in ("relaymd.actors", "relaymd.web"):
                for pid in self._stack.children(name):
                    if size := _resident(pid):
                        self._seen[name, pid].append((time.monotonic(), size))
            await asyncio.sleep(1)

    def growth(self) -> dict[str, float]:
        """Megabytes by which each part grew in its longest life, after a third of it."""
        found: dict[str, float] = {}
        for (name, _), sizes in sorted(self._seen.items(), key=lambda item: _length(item[1])):
            if _length(sizes) >= LONG:
                early, late = sizes[len(sizes) // 3], sizes[-1]
                found[name] = (late[1] - early[1]) / 1e6
        return found

    def largest(self) -> dict[str, float]:
        """Megabytes."""
        found: dict[str, float] = defaultdict(float)
        for (name, _), sizes in self._seen.items():
            found[name] = max(found[name], *(size / 1e6 for _, size in sizes))
        return dict(found)


def _length(sizes: Sequence[tuple[float, int]]) -> float:
    return sizes[-1][0] - sizes[0][0]


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * 4096
