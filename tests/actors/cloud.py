"""A provider whose computers are words: it does what it is told and can be told to fail."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from relaymd.actors.providers.provider import Capabilities, ProviderError
from relaymd.core.allocation import Allocation, Sighting, Whereabouts
from relaymd.core.ids import AllocationId, WorkerId
from relaymd.core.provisioning import Offer
from relaymd.core.resources import ProviderKind, Seat


class Cloud:
    """Implements Provider."""

    def __init__(self, cluster: str = "north", *, limit: int = 4, slots: int = 1) -> None:
        self.cluster = cluster
        self.limit = limit
        self.slots = slots
        self.alive: list[AllocationId] = []
        self.asked: list[AllocationId] = []
        self.cancelled: list[AllocationId] = []
        self.blind = False
        """It cannot say anything about anybody."""

        self.refuses = False
        self.accepts_but_fails = False
        """Like an sbatch that timed out and was accepted."""

        self.call_within = 60.0
        self.sightings: dict[AllocationId, Sighting] = {}
        """What it says of some, whatever else is true."""

        self.offered: dict[str, Any] = {}
        """What its offer says beside its limits."""

        self.images: tuple[str | None, ...] = (None,)
        """It makes an offer for each."""

        self.outlives_worker = False
        self.hangs = False
        """Whoever asks it anything waits, until he gives up."""

        self.defects: set[str] = set()
        """The calls in which it errs as no provider should."""

        self.gate = asyncio.Event()
        self.gate.set()

    def capabilities(self) -> Capabilities:
        return Capabilities(
            call_within=self.call_within, look_every=0.0, outlives_worker=self.outlives_worker
        )

    def offers(self) -> Sequence[Offer]:
        self._err("offers")
        return [self._offer(image) for image in self.images]

    async def submit(self, allocation: Allocation) -> str:
        id = allocation.id
        self.asked.append(id)
        await self._answer()
        self._err("submit")
        await self.gate.wait()
        if self.refuses:
            raise ProviderError("sbatch: error: no such partition")
        self.alive.append(id)
        if self.accepts_but_fails:
            raise ProviderError("sbatch timed out")
        return f"slurm-{len(self.asked)}"

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        await self._answer()
        self._err("observe")
        if self.blind:
            raise ProviderError("squeue: connection refused")
        return {one.id: self._sight(one.id) for one in allocations}

    async def cancel(self, allocation: Allocation) -> None:
        await self._answer()
        self._err("cancel")
        if self.blind:
            raise ProviderError("scancel: connection refused")
        self.cancelled.append(allocation.id)
        if allocation.id in self.alive:
            self.alive.remove(allocation.id)

    async def _answer(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()

    def _err(self, call: str) -> None:
        if call in self.defects:
            raise KeyError(call)

    def _offer(self, image: str | None) -> Offer:
        seat = Seat(
            worker=WorkerId("w"), cluster=self.cluster, provider=ProviderKind.SLURM, image=image
        )
        return Offer(
            cluster=self.cluster,
            provider=ProviderKind.SLURM,
            template=seat,
            slots=self.slots,
            limit=self.limit,
            **self.offered,
        )

    def _sight(self, id: AllocationId) -> Sighting:
        if id in self.sightings:
            return self.sightings[id]
        if id in self.alive:
            return Sighting(where=Whereabouts.RUNNING)
        return Sighting(where=Whereabouts.GONE, reason="TIMEOUT")
