"""The cycles of a running engine: one each interval, one at a time, none of them its end."""

import asyncio

from relaymd.worker.cycle import CycleError
from relaymd.worker.running import Running


async def for_ever(running: Running) -> None:
    """Store a generation each time the interval is over; a failure is said, and tried again."""
    pace, cycle = running.tools.pace, running.cycle
    every = running.spec.checkpoint_poll_interval_seconds or pace.checkpoint_every
    wait, said = every, False
    while True:
        await _rest(running, wait)
        wait = every
        try:
            await cycle.once()
        except CycleError as exc:
            await cycle.missed(exc.reason)
            wait = min(every, pace.retry_longest) if exc.soon else every
        if cycle.nothing_yet and not said:
            said = True
            await cycle.missed(cycle.nothing_yet)


async def _rest(running: Running, seconds: float) -> None:
    """Wait, and meanwhile say again what was not answered."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        retry = running.tools.pace.retry_longest if running.cycle.unanswered else left
        await asyncio.sleep(min(left, retry))
        try:
            await running.cycle.settle()
        except CycleError as exc:
            await running.cycle.missed(exc.reason)
