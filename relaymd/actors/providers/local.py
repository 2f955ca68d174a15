"""This machine as a provider: worker processes, up to a limit."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from relaymd.actors.providers import processes
from relaymd.actors.providers.provider import Capabilities, ProviderRefusedError
from relaymd.core.allocation import Allocation, Sighting, Whereabouts
from relaymd.core.devices import platforms, slots_of
from relaymd.core.ids import AllocationId, InstanceId, UnixTime, WorkerId
from relaymd.core.provisioning import Offer
from relaymd.core.reaping import Evidence
from relaymd.core.resources import Gpu, ProviderKind
from relaymd.core.worker import Worker, seats
from relaymd.process import Offload

CLUSTER = "local"

APPEARS_WITHIN = 5.0
"""Seconds within which a process that was started has left its record."""


class LocalProvider:
    """Implements Provider. The processes live on when this one dies."""

    def __init__(
        self,
        state: Path,
        environment: Mapping[str, str],
        *,
        limit: int,
        slots: int | None = None,
        gpus: Sequence[Gpu] = (),
        declared: Sequence[str] = (),
        command: Sequence[str] = (sys.executable, "-m", "relaymd.worker"),
        offload: Offload = asyncio.to_thread,
    ) -> None:
        """environment: what the workers inherit; it leads them to the state folder.

        slots, declared (platforms): of each worker, as configured. gpus: what it will have.
        """
        self._state = state
        self._environment = environment
        self._limit = limit
        self._worker = Worker(
            id=WorkerId("w"),
            instance=InstanceId("i"),
            cluster=CLUSTER,
            platforms=platforms(gpus, declared),
            gpus=tuple(gpus),
            slots=slots_of(gpus, slots),
            registered_at=UnixTime(0.0),
        )
        """As it will register."""

        self._command = command
        self._offload = offload
        self._children: dict[AllocationId, subprocess.Popen[bytes]] = {}
        self._missed: dict[AllocationId, float] = {}
        """Since when, on the monotonic clock, a process without a record is looked for."""

    @property
    def cluster(self) -> str:
        return CLUSTER

    def capabilities(self) -> Capabilities:
        return Capabilities(look_every=0.5)

    def offers(self) -> Sequence[Offer]:
        offer = Offer(
            cluster=CLUSTER,
            provider=ProviderKind.LOCAL,
            template=next(seats(self._worker)),
            slots=self._worker.slots,
            limit=self._limit,
        )
        return (offer,)

    async def submit(self, allocation: Allocation) -> str:
        id = allocation.id
        environment = {
            **self._environment,
            "RELAYMD_WORKER_ID": f"w{id.removeprefix('a')}",
            "RELAYMD_WORKER_PROVIDER": ProviderKind.LOCAL,
            "RELAYMD_WORKER_CLUSTER": CLUSTER,
        }
        try:
            process = await self._offload(
                processes.start, self._state, id, self._command, environment
            )
        except OSError as exc:
            raise ProviderRefusedError(f"a worker cannot be started here: {exc.strerror}") from exc
        self._children[id] = process
        return str(process.pid)

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        return await self._offload(self._look, allocations)

    async def cancel(self, allocation: Allocation) -> None:
        pid = await self._offload(processes.find, self._state, allocation.id)
        child = self._children.get(allocation.id)
        if pid is not None:
            processes.terminate(pid)
        elif child is not None:  # it has not left its record yet
            child.terminate()

    def _look(self, allocations: Collection[Allocation]) -> dict[AllocationId, Sighting]:
        for id in [id for id, child in self._children.items() if child.poll() is not None]:
            del self._children[id]  # collected; if it left no record, it never will
            self._missed[id] = time.monotonic() - APPEARS_WITHIN
        self._missed = {
            one.id: self._missed[one.id] for one in allocations if one.id in self._missed
        }
        return {one.id: self._sight(one.id) for one in allocations}

    def _may_still_appear(self, id: AllocationId) -> bool:
        """Whoever started it may have died before its record was written."""
        now = time.monotonic()
        return now - self._missed.setdefault(id, now) < APPEARS_WITHIN

    def _sight(self, id: AllocationId) -> Sighting:
        evidence, _ = processes.look(self._state, id)
        if evidence is Evidence.ALIVE or id in self._children:
            return Sighting(where=Whereabouts.RUNNING)
        recorded = processes.is_recorded(self._state, id)
        if evidence is Evidence.UNKNOWN and (recorded or self._may_still_appear(id)):
            return Sighting(where=Whereabouts.UNKNOWN)
        words = processes.last_words(self._state, id)
        reason = f"its process ended; its last line: {words}" if words else "its process ended"
        return Sighting(where=Whereabouts.GONE, reason=reason)
