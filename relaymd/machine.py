"""What this machine has and how busy it is, asked so that a driver that hangs holds up nobody."""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec
import psutil
import structlog

from relaymd import nvml
from relaymd.core.devices import Card, GpuLoad, Load
from relaymd.core.resources import Gpu

log = structlog.get_logger(__name__)

T = TypeVar("T")

GB = 1e9

SLOW = 30.0
"""Seconds for the first answer of a driver, which may have to wake eight devices."""

PROMPT = 5.0
"""Seconds for every later one."""


class HungError(nvml.DriverError):
    """A call did not return in time. It may still do so; until then nothing else is asked."""


class Aside:
    """Runs calls that may never return, one at a time, on threads that the process leaves behind.

    A thread pool would wait for them at the end of the process.
    """

    def __init__(self) -> None:
        self._waits = False
        """Whether a call has not returned yet."""

    async def call(self, work: Callable[[], T], within: float) -> T:
        """What the work returns or raises. Raises HungError."""
        if self._waits:
            raise HungError("the NVIDIA driver has not answered an earlier question yet")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def tell(say: Callable[[], None]) -> None:
            self._waits = False
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(lambda: None if answer.done() else say())

        def run() -> None:
            try:
                found = work()
            except Exception as exc:  # noqa: BLE001 - it is raised where it was asked for
                tell(partial(answer.set_exception, exc))
            else:
                tell(partial(answer.set_result, found))

        self._waits = True
        threading.Thread(target=run, name="driver", daemon=True).start()
        try:
            async with asyncio.timeout(within):
                return await answer
        except TimeoutError:
            raise HungError(f"the NVIDIA driver did not answer within {within:g} s") from None


class Host(msgspec.Struct, frozen=True, kw_only=True):
    cpus: int
    """Processors that this process may use."""

    memory_gb: float
    """Of the whole machine, in GB of 1e9 bytes."""


class Machine:
    """This machine. Whatever its driver does, the answers come within seconds."""

    def __init__(self) -> None:
        self._driver = Aside()
        self._silent = False
        psutil.cpu_percent()  # from here on it counts

    @staticmethod
    def host() -> Host:
        memory = psutil.virtual_memory().total / GB
        return Host(cpus=len(os.sched_getaffinity(0)), memory_gb=round(memory, 1))

    async def cards(self) -> tuple[Card, ...]:
        """The GPUs; none where there is no driver, or none that answers."""
        try:
            return await self._driver.call(nvml.cards, SLOW)
        except nvml.NoDriverError as exc:
            log.debug("gpu.none", reason=str(exc))
        except nvml.DriverError as exc:
            log.warning("gpu.unusable", reason=str(exc))
        return ()

    async def load(self, gpus: Sequence[Gpu]) -> Load:
        """How busy it is; devices of which the driver says nothing just now are left out."""
        try:
            devices = await self.look(gpus)
            self._silent = False
        except nvml.DriverError as exc:
            devices = ()
            if not self._silent:
                log.warning("gpu.silent", reason=str(exc))
            self._silent = True
        cpu, used = await asyncio.to_thread(_busy)
        return Load(cpu=cpu, used_gb=used, gpus=devices)

    async def look(self, gpus: Sequence[Gpu]) -> tuple[GpuLoad, ...]:
        """Those of the devices that the driver knows just now. Raises DriverError."""
        if not gpus:
            return ()
        return await self._driver.call(lambda: nvml.loads([gpu.uuid for gpu in gpus]), PROMPT)


def _busy() -> tuple[float, float]:
    """The share of processor time since the last call, and the memory in use in GB."""
    memory = psutil.virtual_memory()
    return psutil.cpu_percent() / 100, round((memory.total - memory.available) / GB, 1)
