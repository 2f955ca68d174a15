"""The cycles of a running engine, one at a time, none of them its end.

One each interval, and one when the engine says that a checkpoint lies there.
"""

import asyncio

from relaymd.worker.cycle import CycleError
from relaymd.worker.racing import within
from relaymd.worker.running import Running


async def for_ever(running: Running) -> None:
    """Store a generation each time there is reason to; a failure is said, and tried again."""
    pace, cycle = running.tools.pace, running.cycle
    every = running.spec.checkpoint_poll_interval_seconds or pace.checkpoint_every
    wait, said = every, False
    while True:
        if await _rest(running, wait):
            await asyncio.sleep(cycle.seconds or 0)  # an eager engine gets half of our time
        wait = every
        try:
            if await cycle.once():
                await cycle.collect()
        except CycleError as exc:
            await cycle.missed(exc.reason)
            wait = min(every, pace.retry_longest) if exc.soon else every
        if cycle.nothing_yet and not said:
            said = True
            await cycle.missed(cycle.nothing_yet)


async def _rest(running: Running, seconds: float) -> bool:
    """Wait, and meanwhile say again what was not answered.

    True: the engine said that it has written a checkpoint, before the time was over.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        retry = running.tools.pace.retry_longest if running.cycle.unanswered else left
        if await within(min(left, retry), running.notices.next()):
            return True
        try:
            await running.cycle.settle()
        except CycleError as exc:
            await running.cycle.missed(exc.reason)
    return False
