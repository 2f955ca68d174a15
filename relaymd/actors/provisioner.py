"""Turns demand into allocations on providers, and keeps account of them."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import msgspec
import structlog

from relaymd.actors.actor import Actor
from relaymd.actors.bell import Bell
from relaymd.actors.commits import LedgerUnavailableError
from relaymd.actors.ledger import Ledger
from relaymd.actors.presence import Presence
from relaymd.actors.providers.provider import Provider, ProviderError
from relaymd.actors.sightings import Sightings
from relaymd.bus import contract
from relaymd.bus.bus import Bus
from relaymd.bus.messages import Done
from relaymd.bus.operating import WindDown
from relaymd.bus.subjects import Binding
from relaymd.core.allocation import Allocation, AllocationState, Sighting, Whereabouts
from relaymd.core.ids import AllocationId, Monotonic, token
from relaymd.core.provisioning import Offer, Submit, Withdraw, plan
from relaymd.core.reaping import Evidence, evidence
from relaymd.core.resources import Seat
from relaymd.core.restarts import RestartPolicy

log = structlog.get_logger(__name__)

HEALTH = RestartPolicy(intensity=8, period=600.0, backoff=0.5)
"""How a provider is left alone after allocations that never became workers."""

GONE_AT_MOST = 60.0


class Provisioner(Actor):
    """An allocation is written down before it is asked for, so that none is forgotten.

        requested ──► submitted ──► active ──► ended
            └─────────────┴───────────────────────┘

    Asked for under our id: after a crash in between, the provider is asked whether it knows it.
    """

    name: ClassVar[str] = "provisioner"
    every: ClassVar[float] = 0.5

    def __init__(
        self,
        bus: Bus,
        ledger: Ledger,
        presence: Presence,
        sightings: Sightings,
        providers: Sequence[Provider],
        *,
        entropy: Callable[[int], bytes],
    ) -> None:
        """entropy: gives so many random bytes."""
        super().__init__(bus)
        self._ledger = ledger
        self._presence = presence
        self._sightings = sightings
        self._providers = {provider.cluster: provider for provider in providers}
        self._entropy = entropy
        self._failures: dict[str, list[Monotonic]] = {}
        self._withdrawn: set[AllocationId] = set()
        self._winding_down = False
        self._resting = asyncio.Event()

    def bindings(self) -> Iterable[Binding]:
        yield contract.WIND_DOWN.answered_by(self.wind_down)

    def bells(self) -> Iterable[Bell]:
        yield self._ledger.queued

    def wind_down(self, message: WindDown) -> asyncio.Future[Done]:
        self._winding_down = True
        return self.answer(self._wound_down())

    async def _wound_down(self) -> Done:
        """Whoever counts the workers next must find all that were asked for."""
        await self._resting.wait()
        return Done()

    async def tick(self) -> None:
        self._resting.clear()
        try:
            await self._observe_all()
            if not self._ledger.broken:
                self._note_active()
                await self._carry_out([] if self._winding_down else self._plan())
        finally:
            self._resting.set()

    async def _observe_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for cluster, provider in self._providers.items():
                group.create_task(self._observe(cluster, provider))

    async def _carry_out(self, commands: Iterable[Submit | Withdraw]) -> None:
        async with asyncio.TaskGroup() as group:
            for command in commands:
                match command:
                    case Submit(cluster=cluster, count=count, reason=reason):
                        group.create_task(self._submit(cluster, count, reason))
                    case Withdraw(allocation=id):
                        group.create_task(self._withdraw(id))

    def _plan(self) -> list[Submit | Withdraw]:
        lines = self._ledger.backlog.lines()
        return plan(
            {need: len(line) for need, line in lines.items()},
            self._idle(),
            [*self._ledger.allocations.values()],
            [offer for cluster in self._providers for offer in self._offers(cluster)],
        )

    def _idle(self) -> list[Seat]:
        """Seats that take the next job, or will in a moment."""
        taken = {
            (job.lease.worker, slot)
            for job in self._ledger.leased()
            if job.lease is not None
            for slot in job.lease.slots
        }
        return [
            seat
            for worker in self._ledger.workers.values()
            if not worker.leaving
            and self._ledger.quarantine(worker) is None
            and not self._presence.is_disconnected(worker.id)
            and self._sightings.of(self._ledger.allocation_of(worker.id)) is not Evidence.GONE
            for seat in self._ledger.seats_of(worker.id)
            if (seat.worker, seat.slot) not in taken
        ]

    def _offers(self, cluster: str) -> list[Offer]:
        now = self._now()
        crashes = HEALTH.recent(self._failures.get(cluster, []), now=now)
        rest = min(HEALTH.delay(crashes, now=now), GONE_AT_MOST) if crashes else 0.0
        closed = f"{len(crashes)} failures of late" if crashes and now - crashes[-1] < rest else ""
        offers = self._providers[cluster].offers()
        return [msgspec.structs.replace(offer, closed=closed) for offer in offers]

    async def _observe(self, cluster: str, provider: Provider) -> None:
        ours = [one for one in self._ledger.allocations.values() if one.cluster == cluster]
        if not ours:
            return
        try:
            seen = await provider.observe(ours)
        except ProviderError as exc:
            log.warning("provider.unknown", cluster=cluster, reason=str(exc))
            return
        self._sightings.note({id: evidence(sighting) for id, sighting in seen.items()})
        for allocation in ours:
            sighting = seen.get(allocation.id, Sighting(where=Whereabouts.UNKNOWN))
            if sighting.where is Whereabouts.GONE:
                self._end(allocation, sighting.reason)

    def _note_active(self) -> None:
        registered = {self._ledger.allocation_of(id) for id in self._ledger.workers}
        for allocation in [*self._ledger.allocations.values()]:
            if allocation.id in registered and allocation.state is not AllocationState.ACTIVE:
                self._put(allocation, AllocationState.ACTIVE)
                self._failures.pop(allocation.cluster, None)
        live = {id for id in registered if id is not None}
        self._sightings.retain(frozenset(live | {*self._ledger.allocations}))

    def _end(self, allocation: Allocation, reason: str) -> None:
        if self._ledger.broken or allocation.id not in self._ledger.allocations:
            return
        wanted = allocation.id in self._withdrawn or self._winding_down
        known = self._ledger.allocations[allocation.id]
        became_worker = known.state is AllocationState.ACTIVE or self._ledger.has_joined(known.id)
        self._withdrawn.discard(allocation.id)
        if not became_worker and not wanted:
            self._failures.setdefault(allocation.cluster, []).append(self._now())
            log.warning("allocation.failed", allocation=allocation.id, reason=reason)
        self._put(known, AllocationState.ENDED, reason)

    async def _submit(self, cluster: str, count: int, reason: str) -> None:
        for _ in range(count):
            id = AllocationId(token("a", self._entropy(8)))
            allocation = Allocation(id=id, cluster=cluster, requested_at=self._ledger.wall())
            try:
                await self._ledger.put_allocation(allocation, "requested", reason)
            except LedgerUnavailableError:
                return  # nothing was asked for; the next tick sees whether it still is needed
            if self._winding_down:
                self._end(allocation, "the stack goes down")
                return
            try:
                external = await self._providers[cluster].submit(allocation)
            except ProviderError as exc:
                log.warning("provider.refused", cluster=cluster, reason=str(exc))
                self._failures.setdefault(cluster, []).append(self._now())
                return  # whether it is there after all, the next look tells
            self._note_submitted(id, external)

    def _note_submitted(self, id: AllocationId, external: str) -> None:
        if id in self._ledger.allocations and not self._ledger.broken:
            known = msgspec.structs.replace(self._ledger.allocations[id], external=external)
            self._put(known, AllocationState.SUBMITTED)

    async def _withdraw(self, id: AllocationId) -> None:
        allocation = self._ledger.allocations.get(id)
        if allocation is None or id in self._withdrawn:
            return
        self._withdrawn.add(id)
        log.info("allocation.withdrawn", allocation=id)
        try:
            await self._providers[allocation.cluster].cancel(allocation)
        except ProviderError as exc:
            self._withdrawn.discard(id)
            log.warning("provider.not_withdrawn", allocation=id, reason=str(exc))

    def _put(self, allocation: Allocation, state: AllocationState, reason: str = "") -> None:
        changed = msgspec.structs.replace(allocation, state=state, ended_reason=reason)
        self._ledger.put_allocation(changed, str(state), reason)

    def _now(self) -> Monotonic:
        return Monotonic(asyncio.get_running_loop().time())
