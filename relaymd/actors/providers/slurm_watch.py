"""Where our allocations are: the queue first, accounting for what it has forgotten.

An error is not an empty answer. What is in neither is unknown for a while, because a submit that
nobody answered may still arrive, and gone after that.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence

import structlog

from relaymd.actors.providers import slurm_ends
from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.slurm_commands import MANY, SlurmCommands
from relaymd.actors.providers.slurm_text import Queued
from relaymd.core.allocation import Allocation, Sighting, Whereabouts
from relaymd.core.ids import AllocationId, Monotonic
from relaymd.core.outcome import Outcome

log = structlog.get_logger(__name__)

MAY_ARRIVE = 90.0
"""Seconds for which an allocation that was never seen in the queue may still come into it."""

MAY_RETURN = 30.0
"""Seconds for which one that was there may be missing from it."""

ACCOUNTING_REST = 60.0
"""Seconds for which accounting is left alone after it did not answer."""

SINGLE_QUESTIONS = 20
"""Names that are asked for one by one, at a look, where they cannot be asked for together."""

ONE_NODE = re.compile(r"[\w.-]+")

BETTER = (Whereabouts.RUNNING, Whereabouts.PENDING, Whereabouts.UNKNOWN, Whereabouts.GONE)


class SlurmWatch:
    def __init__(
        self, commands: SlurmCommands, cluster: str, *, clock: Callable[[], Monotonic]
    ) -> None:
        self._commands = commands
        self._cluster = cluster
        self._clock = clock
        self._missed: dict[AllocationId, Monotonic] = {}
        """Since when they are in neither."""

        self._accounting_rests_until = Monotonic(float("-inf"))
        self.nodes: set[str] = set()
        """Single ones on which allocations were seen, by SLURM's names."""

    async def look(self, allocations: Collection[Allocation]) -> dict[AllocationId, Sighting]:
        """Raises ProviderError where not even the queue can be read."""
        rows = await self._commands.queue()
        ids = {one.id for one in allocations}
        ours = (row.nodes for row in rows if row.name in ids)
        self.nodes |= {name for name in ours if ONE_NODE.fullmatch(name)}
        seen = found(rows, ids)
        left = [
            one
            for one in allocations
            if one.id not in seen or seen[one.id].where is Whereabouts.GONE
        ]
        seen |= await self._past(left)
        self._missed = {id: self._missed[id] for id in self._missed if id not in seen}
        seen |= {one.id: self._absent(one) for one in allocations if one.id not in seen}
        return seen

    async def find(self, id: AllocationId) -> str | None:
        """The number of the job that has this name, if the queue holds one."""
        sighting = found(await self._commands.queue(), [id]).get(id)
        return None if sighting is None else sighting.external

    async def _past(self, left: Sequence[Allocation]) -> dict[AllocationId, Sighting]:
        """What accounting says of those whose end it knows."""
        if not left or self._clock() < self._accounting_rests_until:
            return {}
        ends: dict[AllocationId, Sighting] = {}
        for first in range(0, len(left), MANY):
            ends |= await self._ended(left[first : first + MANY])
        return ends

    async def _ended(self, some: Sequence[Allocation]) -> dict[AllocationId, Sighting]:
        try:
            return await self._asked(some)
        except ProviderError as exc:
            log.info("accounting.unanswered", cluster=self._cluster, reason=str(exc))
        ends: dict[AllocationId, Sighting] = {}
        failed = 0
        for one in some[:SINGLE_QUESTIONS] if len(some) > 1 else ():
            try:
                ends |= await self._asked([one])
            except ProviderError:
                failed += 1
                if failed > 1 and not ends:
                    break  # it is not one of them that it cannot answer for
        if not ends:
            self._accounting_rests_until = Monotonic(self._clock() + ACCOUNTING_REST)
        return ends

    async def _asked(self, some: Sequence[Allocation]) -> dict[AllocationId, Sighting]:
        since = min(one.requested_at for one in some)
        jobs = await self._commands.accounting([one.id for one in some], since)
        sightings = {AllocationId(job.name): slurm_ends.from_accounting(job) for job in jobs}
        return {
            one.id: sightings[one.id]
            for one in some
            if one.id in sightings and sightings[one.id].where is Whereabouts.GONE
        }

    def _absent(self, one: Allocation) -> Sighting:
        now = self._clock()
        missed = now - self._missed.setdefault(one.id, now)
        if missed < (MAY_RETURN if one.external else MAY_ARRIVE):
            return Sighting(where=Whereabouts.UNKNOWN, reason="it is not in the queue")
        words = "it left the queue, and nobody knows how" if one.external else "it never came"
        return Sighting(where=Whereabouts.GONE, reason=words, outcome=Outcome.INTERRUPTED)


def found(rows: Iterable[Queued], ids: Iterable[AllocationId]) -> dict[AllocationId, Sighting]:
    """The sighting of each of these that has a line; where there are several, the liveliest."""
    wanted = {*ids}
    seen: dict[AllocationId, Sighting] = {}
    for row in rows:
        id = AllocationId(row.name)
        if id not in wanted:
            continue
        sighting = slurm_ends.from_queue(row)
        if id not in seen or BETTER.index(sighting.where) <= BETTER.index(seen[id].where):
            seen[id] = sighting
    return seen
