"""What became of each allocation, as the providers say and the workers show, in the ledger."""

from collections.abc import Callable, Collection, Mapping

import msgspec
import structlog

from relaymd.actors.ledger import Ledger
from relaymd.actors.liaison import Liaison
from relaymd.actors.sightings import Sightings
from relaymd.core.allocation import Allocation, AllocationState, Sighting, Whereabouts
from relaymd.core.ids import AllocationId, token
from relaymd.core.outcome import Outcome

log = structlog.get_logger(__name__)

MOVED = 5.0
"""Seconds by which an end must have moved to be written down again."""

UNREACHABLE_AFTER = 2
"""Looks in a row that fail until people are told; one alone is soon over."""


class Accounts:
    """Alone changes allocations. What the disk cannot take now, a later look notes."""

    def __init__(self, ledger: Ledger, sightings: Sightings) -> None:
        self._ledger = ledger
        self._sightings = sightings
        self._withdrawn: set[AllocationId] = set()

    def of(self, liaison: Liaison) -> list[Allocation]:
        everywhere = self._ledger.allocations.values()
        return [one for one in everywhere if one.cluster == liaison.cluster]

    # -- what we did

    def submitted(self, id: AllocationId, external: str) -> None:
        known = self._ledger.allocations.get(id)
        if known is not None and not self._ledger.broken:
            self._put(known, "submitted", state=AllocationState.SUBMITTED, external=external)

    def withdraw(self, id: AllocationId) -> None:
        """It is to be taken back; its end will be no failure."""
        self._withdrawn.add(id)

    def keep(self, id: AllocationId) -> None:
        """It could not be taken back."""
        self._withdrawn.discard(id)

    def is_withdrawn(self, id: AllocationId) -> bool:
        return id in self._withdrawn

    def end(self, allocation: Allocation, reason: str, outcome: Outcome | None = None) -> None:
        """It is over, or never was."""
        known = self._ledger.allocations.get(allocation.id)
        if known is not None and not self._ledger.broken:
            state = AllocationState.ENDED
            self._put(known, "ended", reason, state=state, ended_reason=reason, outcome=outcome)
            self._withdrawn.discard(allocation.id)

    # -- what is seen

    def note_active(self, liaisons: Mapping[str, Liaison]) -> None:
        """Whose worker has registered is active."""
        registered = {self._ledger.allocation_of(id) for id in self._ledger.workers}
        for allocation in [*self._ledger.allocations.values()]:
            if allocation.id in registered and allocation.state is not AllocationState.ACTIVE:
                self._put(allocation, "active", state=AllocationState.ACTIVE)
                if (liaison := liaisons.get(allocation.cluster)) is not None:
                    liaison.found()
            elif allocation.id not in registered:
                self._note_requeued(allocation)
        live = {id for id in registered if id is not None}
        self._sightings.retain(frozenset(live | {*self._ledger.allocations}))

    def adopt(self, liaison: Liaison, entropy: Callable[[int], bytes]) -> None:
        """Workers that were not told an allocation, and whose place none has, get one.

        The first that waits for a place, else a new one: the provider put them there by itself,
        such as instead of a machine that was lost, and takes away what nobody claims.
        """
        for worker in self._ledger.workers.values():
            here = worker.cluster == liaison.cluster and worker.external
            if not here or self._ledger.allocation_of(worker.id) is not None:
                continue
            waiting = [one for one in self.of(liaison) if self._is_placeless(one, liaison)]
            now = self._ledger.wall()
            allocation = min(
                waiting,
                key=lambda one: (one.requested_at, one.id),
                default=Allocation(
                    id=AllocationId(token("a", entropy(8))),
                    cluster=liaison.cluster,
                    image=worker.image,
                    requested_at=now,
                ),
            )
            self._put(
                allocation,
                "active",
                state=AllocationState.ACTIVE,
                external=worker.external,
                started_at=now,
            )
            liaison.found()

    def _is_placeless(self, allocation: Allocation, liaison: Liaison) -> bool:
        nowhere = allocation.is_coming and not allocation.external
        return nowhere and not (
            liaison.is_ordered(allocation.id) or self.is_withdrawn(allocation.id)
        )

    def note(
        self,
        liaison: Liaison,
        ours: Collection[Allocation],
        seen: Mapping[AllocationId, Sighting],
    ) -> None:
        """ours: those that were looked for; nothing else that is said is believed."""
        mine = {one.id: seen[one.id] for one in ours if one.id in seen}
        self._sightings.note(mine)
        for id, sighting in mine.items():
            known = self._ledger.allocations.get(id)
            if known is None or self._ledger.broken:
                continue
            match sighting.where:
                case Whereabouts.GONE:
                    self._gone(liaison, known, sighting)
                case Whereabouts.RUNNING:
                    self._running(known, sighting)
                case Whereabouts.PENDING:
                    self._accepted(known, sighting)
                case Whereabouts.UNKNOWN:
                    pass

    def note_reach(self, liaison: Liaison) -> None:
        """Tell that a cluster cannot be asked, and that it can be again; after a look.

        Each is told once, whatever is restarted in between.
        """
        told = self.is_unreachable(liaison)
        if self._ledger.broken:
            return
        if not told and liaison.looks.failures >= UNREACHABLE_AFTER:
            self._ledger.put_unreachable(liaison.cluster, liaison.looks.reason)
        elif told and not liaison.looks.failures:
            self._ledger.put_reachable(liaison.cluster)

    def is_unreachable(self, liaison: Liaison) -> bool:
        """Whether people were told so; then it is looked at until they can be told otherwise."""
        return liaison.cluster in self._ledger.unreachable

    def _gone(self, liaison: Liaison, known: Allocation, sighting: Sighting) -> None:
        became_worker = known.state is AllocationState.ACTIVE or self._ledger.has_joined(known.id)
        if not became_worker and known.id not in self._withdrawn:
            liaison.lost(sighting.reason)
            log.warning("allocation.failed", allocation=known.id, reason=sighting.reason)
        self.end(known, sighting.reason, sighting.outcome)

    def _running(self, known: Allocation, sighting: Sighting) -> None:
        known = self._accepted(known, sighting)
        deadline = sighting.deadline if sighting.deadline is not None else known.deadline
        external = sighting.external or known.external
        if known.started_at is None:
            began = sighting.started_at or self._ledger.wall()
            self._put(known, "started", external=external, started_at=began, deadline=deadline)
        elif _moved(known, sighting) or external != known.external:
            self._put(known, "moved", external=external, deadline=deadline)

    def _accepted(self, known: Allocation, sighting: Sighting) -> Allocation:
        """Its provider knows it, whatever became of our question."""
        if known.state is not AllocationState.REQUESTED:
            return known
        external = sighting.external or known.external
        return self._put(known, "submitted", state=AllocationState.SUBMITTED, external=external)

    def _note_requeued(self, known: Allocation) -> None:
        """It ran, and waits again: some clusters put back into their queue what they preempt."""
        sighting = self._sightings.latest(known.id)
        waits = sighting is not None and sighting.where is Whereabouts.PENDING
        if sighting is not None and waits and known.started_at is not None:
            state = AllocationState.SUBMITTED
            self._put(
                known, "requeued", sighting.reason, state=state, started_at=None, deadline=None
            )

    def _put(
        self, allocation: Allocation, kind: str, reason: str = "", **changes: object
    ) -> Allocation:
        changed = msgspec.structs.replace(allocation, **changes)
        self._ledger.put_allocation(changed, kind, reason)
        return changed


def _moved(known: Allocation, sighting: Sighting) -> bool:
    """Whether the end is another than was known: extended, or shortened by an administrator."""
    if sighting.deadline is None:
        return False
    return known.deadline is None or abs(sighting.deadline - known.deadline) > MOVED
