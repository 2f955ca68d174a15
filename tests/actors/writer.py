"""Submits jobs until it is killed, and prints each one that was acknowledged.

python -m tests.actors.writer FILE FIRST
"""

import asyncio
import sys
import time
from pathlib import Path

from relaymd.actors.database import open_database
from relaymd.actors.ledger import Ledger
from relaymd.core.events import CancelRequested
from relaymd.core.ids import JobId, UnixTime
from relaymd.core.job import Bundle, Job


async def write(path: Path, first: int) -> None:
    async with (
        open_database(path) as disk,
        Ledger.open(disk, wall=lambda: UnixTime(time.time())) as ledger,
        asyncio.TaskGroup() as group,
    ):
        for lane in range(8):
            group.create_task(submit(ledger, first + lane * 100_000))


async def submit(ledger: Ledger, first: int) -> None:
    for number in range(first, first + 100_000):
        id = JobId(f"j{number:07}")
        now = ledger.wall()
        bundle = Bundle(key="k", digest="d", size=1)
        await ledger.add(Job(id=id, title="t", bundle=bundle, submitted_at=now, queued_at=now))
        if number % 3 == 0:
            await ledger.record(id, CancelRequested())
        sys.stdout.write(f"{id} {'cancelled' if number % 3 == 0 else 'queued'}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
