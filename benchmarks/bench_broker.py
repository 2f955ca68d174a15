"""`kill -9` of nats-server under 500 workers: how soon all have renewed their leases.

Our own client in each worker, as `relaymd-worker` has it, and as many bare nats-py clients on
the same server beside them. Counted from when the server takes connections again.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import nats
import nats.errors

from benchmarks import bare
from benchmarks.crowd import BrokenLineError, together
from benchmarks.rig import Plane, bare_part, plane
from benchmarks.rows import Row, Rows, Setting, at_most, median
from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.bus import BusError
from relaymd.bus.client import connect
from relaymd.connection import Role
from relaymd.core.ids import InstanceId, WorkerId

# pyright: reportUnknownMemberType=false
# nats-py is typed in part.

WORKERS = 500
AT_ONCE = 50
AGAIN = 0.05
RENEWED_WITHIN = 60.0
FALSE_REAPING_AFTER = 6.0
"""Seconds: more than the grace of a closed connection."""


Renew = Callable[[], Awaitable[object]]
"""One renewal; raises one of LOST while nobody answers."""

LOST = (BusError, nats.errors.Error, OSError)


async def measure(setting: Setting) -> Rows:
    times = setting.of(2, 6)
    ours: list[float] = []
    others: list[float] = []
    async with plane(setting.scratch) as there, bare_part(there, "echo"):
        async with _ours(there) as renewals:
            ours += [await _back(there, renewals) for _ in range(times)]
            await asyncio.sleep(FALSE_REAPING_AFTER)
            left = (await there.serving()).workers
        async with _others(there) as renewals:
            others += [await _back(there, renewals) for _ in range(times)]
    return [
        Row(
            what=f"broker kill -9, {WORKERS} workers, from its return until all are renewed",
            figure=median(ours),
            unit="s",
            aim=at_most(1.0),
            beside=median(others),
            beside_what="bare nats-py",
        ),
        Row(what="workers falsely reaped by it", figure=WORKERS - left, unit="", aim=at_most(0)),
    ]


@asynccontextmanager
async def _ours(there: Plane) -> AsyncGenerator[list[Renew]]:
    limit = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:

        async def one(id: WorkerId) -> Renew:
            async with limit:
                bus = await stack.enter_async_context(
                    connect(
                        there.url,
                        role=Role.WORKER,
                        password=there.worker_password,
                        name=id,
                        patience=RENEWED_WITHIN,
                    )
                )
            instance = InstanceId("i")
            await bus.ask(contract.REGISTER, m.Register(worker=id, instance=instance))
            return partial(bus.ask, contract.HEARTBEAT, m.Heartbeat(worker=id, instance=instance))

        yield await together(one(WorkerId(f"w-{number}")) for number in range(WORKERS))


@asynccontextmanager
async def _others(there: Plane) -> AsyncGenerator[list[Renew]]:
    """As eager to come back as ours: nats-py's own pause between attempts is two seconds."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def quiet(_: Exception) -> None:
        pass

    async with AsyncExitStack() as stack:

        async def one(number: int) -> Renew:
            async with limit:
                client = await nats.connect(
                    there.url,
                    user=Role.WORKER,
                    password=there.worker_password,
                    inbox_prefix=b"_INBOX.worker.bare",
                    reconnect_time_wait=0.25,
                    max_reconnect_attempts=-1,
                    error_cb=quiet,
                )
            stack.push_async_callback(client.close)
            subject = bare.ECHO.format(worker=f"b-{number}")
            return partial(client.request, subject, b"{}", timeout=0.5)

        yield await together(one(number) for number in range(WORKERS))


async def _back(there: Plane, renewals: list[Renew]) -> float:
    """Seconds from the server's return until each has renewed."""
    await together(_renewed(renew) for renew in renewals)
    assert there.server.pid is not None
    os.kill(there.server.pid, signal.SIGKILL)
    async with asyncio.timeout(RENEWED_WITHIN), asyncio.TaskGroup() as group:
        for renew in renewals:
            group.create_task(_renewed(renew))
        begin = await _returned(there)
    return time.perf_counter() - begin


async def _renewed(renew: Renew) -> None:
    while True:
        try:
            await renew()
        except LOST:
            await asyncio.sleep(AGAIN)
        else:
            return


async def _returned(there: Plane) -> float:
    """When the server took a connection again."""
    while True:
        try:
            line = await there.operator()
        except (OSError, BrokenLineError):
            await asyncio.sleep(0.005)
        else:
            line.close()
            return time.perf_counter()
