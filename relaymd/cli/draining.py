"""Sending the local workers home: each stores what it has and gives its lease back."""

import asyncio
import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress

from relaymd.process import alive

LOOK_EVERY = 0.1
"""Seconds between two looks at who is left: they are not our children and cannot be awaited."""


async def drain(
    workers: Callable[[], Collection[int]], *, within: float, hurry: asyncio.Event
) -> int:
    """Return when no worker is left, and how many had to be killed.

    workers: process ids of those that run now; more may appear while we wait. within: seconds
    until they are killed; `hurry` does it at once.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + within
    told: set[int] = set()
    while left := [pid for pid in workers() if alive(pid)]:
        if hurry.is_set() or clock() > end:
            return await _kill(left)
        for pid in left:
            if pid not in told:
                told.add(pid)
                _send(pid, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await hurry.wait()
    return 0


async def _kill(left: list[int]) -> int:
    for pid in left:
        _send(pid, signal.SIGKILL)
    while any(map(alive, left)):  # noqa: ASYNC110  strangers' ends cannot be awaited
        await asyncio.sleep(LOOK_EVERY / 10)
    return len(left)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
