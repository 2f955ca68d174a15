"""How busy the worker's machine is, measured beside the heartbeats and never waited for by them."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from relaymd.core.devices import GpuLoad, Load
from relaymd.core.resources import Gpu


class Machine(Protocol):
    async def load(self, gpus: Sequence[Gpu]) -> Load | None:
        """None where nothing is measured."""
        ...

    async def look(self, gpus: Sequence[Gpu]) -> Sequence[GpuLoad]:
        """Those of the devices that answer just now. Raises DriverError."""
        ...


class Unmeasured:
    """A machine that has what its worker was told, and of which no more is known."""

    async def load(self, gpus: Sequence[Gpu]) -> Load | None:
        return None

    async def look(self, gpus: Sequence[Gpu]) -> Sequence[GpuLoad]:
        return [GpuLoad(uuid=gpu.uuid) for gpu in gpus]


UNMEASURED = Unmeasured()


class Gauge:
    def __init__(self, machine: Machine, gpus: Sequence[Gpu], every: float) -> None:
        """every: seconds between two looks."""
        self._machine = machine
        self._gpus = gpus
        self._every = every
        self.latest: Load | None = None

    async def run(self) -> None:
        """Look, for ever. A look that takes long delays the next one and nothing else."""
        while True:
            self.latest = await self._machine.load(self._gpus)
            await asyncio.sleep(self._every)
