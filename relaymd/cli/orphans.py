"""What loses its parent below `up` becomes a child of `up`, and must be collected by it."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from relaymd.process import adopt_orphans, is_zombie

EVERY = 1.0
"""Seconds; until it is collected a process that has ended looks alive to those who ask."""


@asynccontextmanager
async def reaped(ours: Callable[[], Collection[int]]) -> AsyncGenerator[None]:
    """Adopt and collect orphans as long as the block lasts.

    ours: the processes this one started itself, whose ends asyncio waits for.
    """
    adopt_orphans()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_for_ever(ours))
        try:
            yield
        finally:
            task.cancel()


async def _for_ever(ours: Callable[[], Collection[int]]) -> None:
    seen: set[int] = set()
    while True:
        seen = collect(ours(), seen)
        await asyncio.sleep(EVERY)


def collect(ours: Collection[int], seen: Collection[int]) -> set[int]:
    """Collect the orphans that had ended when we looked before; what has ended since then.

    One look is not enough: a child that ended while it was being started is in nobody's list
    yet, and asyncio must not be robbed of its status.
    """
    ended = {pid for pid in _children() if pid not in ours and is_zombie(pid)}
    for pid in ended & {*seen}:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return ended - {*seen}


def _children() -> list[int]:
    with suppress(OSError):
        return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]
    return []
