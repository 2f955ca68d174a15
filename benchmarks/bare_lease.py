"""What the disk alone can do: one lease row a record, concurrent records in one transaction.

The yardstick beside which the ledger's figures stand: the same file system, the same pragmas,
the same group commit, and nothing else.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

RECORDS = 3
"""Durable records of one job: assigned, started, completed."""

STATES = ("assigned", "running", "completed")


class Leases:
    """One table, written by whoever comes, committed for all that came meanwhile."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file
        self._rows: list[tuple[int, str]] = []
        self._next: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()

    def record(self, job: int, state: str) -> asyncio.Future[None]:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._wake.set()
        self._rows.append((job, state))
        return self._next

    async def write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(0)
            rows, done = self._rows, self._next
            self._rows, self._next = [], None
            await asyncio.to_thread(self._commit, rows)
            if done is not None:
                done.set_result(None)

    def _commit(self, rows: list[tuple[int, str]]) -> None:
        with self._file:
            self._file.executemany("REPLACE INTO leases VALUES (?, ?)", rows)


async def carry(folder: Path, workers: int, jobs: int) -> float:
    """Seconds for so many jobs, three records each, by so many workers at once."""
    path = folder / "bare.db"
    with closing(sqlite3.connect(path, check_same_thread=False)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        file.execute("CREATE TABLE leases (job INTEGER PRIMARY KEY, state TEXT)")
        leases = Leases(file)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(leases.write())
            begun = loop.time()
            async with asyncio.TaskGroup() as working:
                for first in range(workers):
                    working.create_task(_work(leases, range(first, jobs, workers)))
            seconds = loop.time() - begun
            writing.cancel()
    return seconds


async def _work(leases: Leases, jobs: range) -> None:
    for job in jobs:
        for state in STATES:
            await leases.record(job, state)
