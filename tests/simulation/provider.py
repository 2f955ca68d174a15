"""A provider of workers that is slow, errs, forgets, and now and then knows nothing."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

from relaymd.actors.providers.provider import Capabilities, ProviderError
from relaymd.core.allocation import Allocation, Sighting, Whereabouts
from relaymd.core.ids import AllocationId, WorkerId
from relaymd.core.provisioning import Offer
from relaymd.core.resources import ProviderKind, Seat
from tests.simulation.process import WORLD

if TYPE_CHECKING:
    from tests.simulation.world import World

GONE = Sighting(where=Whereabouts.GONE, reason="its process ended")
ALIVE = Sighting(where=Whereabouts.RUNNING)
UNKNOWN = Sighting(where=Whereabouts.UNKNOWN)


class ModelProvider:
    """Implements Provider. It outlives the orchestrator, as SLURM does."""

    def __init__(self, world: "World", rng: Random) -> None:
        self.errs = 0.0
        """The share of calls that end in an error."""

        self.loses = 0.0
        """The share of submits that are accepted and then forgotten."""

        self.blind = 0.2
        """The share of sightings that say `unknown`."""

        self._world = world
        self._rng = rng

    @property
    def cluster(self) -> str:
        return "local"

    def capabilities(self) -> Capabilities:
        return Capabilities(look_every=0.5)

    def offers(self) -> Sequence[Offer]:
        seat = Seat(worker=WorkerId("w"), platforms=("CPU", "Reference"))
        shape = self._world.shape
        offer = Offer(
            cluster="local",
            provider=ProviderKind.LOCAL,
            template=seat,
            slots=shape.slots,
            limit=shape.workers,
        )
        return (offer,)

    async def submit(self, allocation: Allocation) -> str:
        """An error may come before it was accepted, or after."""
        id = allocation.id
        rng = self._rng
        errs, accepts = rng.random() < self.errs, rng.random() < 0.5
        if (not errs or accepts) and rng.random() >= self.loses:
            self._world.staff.starting.add(id)
            delay = rng.uniform(0.0, 0.2)
            self._world.loop.call_later(delay, self._world.staff.start, id, context=WORLD)
        await asyncio.sleep(rng.uniform(0.0, 0.1))
        if errs:
            raise ProviderError("the submit timed out")
        return "external"

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        await asyncio.sleep(self._rng.uniform(0.0, 0.1))
        if self._rng.random() < self.errs:
            raise ProviderError("squeue: connection refused")
        return {one.id: self._sight(one) for one in allocations}

    async def cancel(self, allocation: Allocation) -> None:
        if self._rng.random() < self.errs:
            raise ProviderError("scancel: connection refused")
        for hand in self._world.staff.of(allocation.id):
            if hand.worker is None:
                hand.process.kill()
            else:
                hurry, context = hand.worker.hurry, hand.process.context
                self._world.loop.call_soon(hurry, "the allocation is withdrawn", context=context)

    def _sight(self, allocation: Allocation) -> Sighting:
        if self._rng.random() < self.blind:
            return UNKNOWN
        staff = self._world.staff
        if staff.of(allocation.id):
            return ALIVE
        if allocation.id in staff.starting:
            return UNKNOWN
        staff.gone.add(allocation.id)
        return GONE
