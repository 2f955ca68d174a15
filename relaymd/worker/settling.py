"""Waiting for the checkpoint that an engine writes because it was told to stop."""

import asyncio

from relaymd.storage.patterns import UnfitNameError
from relaymd.worker import snapshot
from relaymd.worker.running import Running
from relaymd.worker.snapshot import Look

UNMARKED = 3.0
"""How much longer files without a marker must rest: several may be written one by one."""


async def look(running: Running) -> Look | None:
    """None where the files cannot be looked at, which proves nothing."""
    try:
        return await running.tools.offload(snapshot.look, running.cycle.watched)
    except (OSError, UnfitNameError):
        return None


async def newer(running: Running, seen: Look | None) -> None:
    """Wait until a checkpoint lies there that is newer than what was seen, and settled.

    Settled: valid by its marker if it has one, and unchanged for a moment. Some engines hang
    after they have written it, so this and not their exit says that it is there.
    """
    clock = asyncio.get_running_loop().time
    pace = running.tools.pace
    marked = running.spec.checkpoint_marker is not None
    settle = pace.settle if marked else pace.settle * UNMARKED
    last: Look | None = None
    since = clock()
    while True:
        await asyncio.sleep(pace.look)
        now = await look(running)
        if now is None or seen is None or not snapshot.is_newer(now, seen, marked=marked):
            last = None
        elif now != last:
            last, since = now, clock()
        elif clock() - since >= settle:
            return
