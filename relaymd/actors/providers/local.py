"""This machine as a provider: worker processes, up to a limit."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from relaymd.actors.providers import processes
from relaymd.actors.providers.provider import ProviderError, Sighting
from relaymd.core.ids import AllocationId, UnixTime, WorkerId
from relaymd.core.provisioning import Allocation, Offer
from relaymd.core.reaping import Evidence
from relaymd.core.resources import ProviderKind, Seat
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
        slots: int,
        wall: Callable[[], UnixTime],
        offload: Offload = asyncio.to_thread,
    ) -> None:
        """environment: what the workers inherit; it leads them to the state folder."""
        self._state = state
        self._environment = environment
        self._limit = limit
        self._slots = slots
        self._wall = wall
        self._offload = offload
        self._children: dict[AllocationId, subprocess.Popen[bytes]] = {}

    def offer(self) -> Offer:
        seat = Seat(worker=WorkerId("w"), cluster=CLUSTER, platforms=("CPU", "Reference"))
        return Offer(
            cluster=CLUSTER,
            provider=ProviderKind.LOCAL,
            template=seat,
            slots=self._slots,
            limit=self._limit,
        )

    async def submit(self, id: AllocationId) -> str:
        environment = {
            **self._environment,
            "RELAYMD_WORKER_ID": f"w{id.removeprefix('a')}",
            "RELAYMD_WORKER_PROVIDER": ProviderKind.LOCAL,
            "RELAYMD_WORKER_CLUSTER": CLUSTER,
        }
        command = [sys.executable, "-m", "relaymd.worker"]
        try:
            process = await self._offload(processes.start, self._state, id, command, environment)
        except OSError as exc:
            raise ProviderError(f"a worker cannot be started here: {exc.strerror}") from exc
        self._children[id] = process
        return str(process.pid)

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        return await self._offload(self._look, allocations)

    async def cancel(self, allocation: Allocation) -> None:
        pid = await self._offload(processes.find, self._state, allocation.id)
        if pid is not None:
            processes.terminate(pid)

    def _look(self, allocations: Collection[Allocation]) -> dict[AllocationId, Sighting]:
        for id in [id for id, child in self._children.items() if child.poll() is not None]:
            del self._children[id]  # collected
        return {allocation.id: self._sight(allocation) for allocation in allocations}

    def _sight(self, allocation: Allocation) -> Sighting:
        id = allocation.id
        if processes.find(self._state, id) is not None:
            return Sighting(evidence=Evidence.ALIVE)
        young = self._wall() - allocation.requested_at < APPEARS_WITHIN
        if young and not processes.is_recorded(self._state, id):
            return Sighting(evidence=Evidence.UNKNOWN)
        words = processes.last_words(self._state, id)
        reason = f"its process ended; its last line: {words}" if words else "its process ended"
        return Sighting(evidence=Evidence.GONE, reason=reason)
