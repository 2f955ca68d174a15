"""The least that an answer over the same bus can be, to measure ours beside it.

    python -m benchmarks.bare echo     answers each question with its own body
    python -m benchmarks.bare lease    keeps one lease row a question, durably, then answers

Both on nats-py alone and uvloop, as our own processes are. `lease` commits what came together
in one transaction (`synchronous=FULL`).
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import nats
from nats.aio.msg import Msg

from relaymd import process
from relaymd.connection import Role, read_connection, read_credentials

# pyright: reportUnknownMemberType=false
# nats-py is typed in part.

ECHO = "relaymd.worker.{worker}.bench-echo"
LEASE = "relaymd.worker.{worker}.bench-lease"
READY = "relaymd.worker.bench.ready"

Answer = Callable[[Msg], Awaitable[None]]


class Leases:
    """One table, written by whoever comes, committed for all that came meanwhile."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file
        self._rows: list[tuple[str, bytes]] = []
        self._next: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()

    async def answer(self, message: Msg) -> None:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._wake.set()
        self._rows.append((message.subject, message.data))
        await asyncio.wait((self._next,))
        await message.respond(b"{}")

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

    def _commit(self, rows: list[tuple[str, bytes]]) -> None:
        with self._file:
            self._file.executemany("REPLACE INTO leases VALUES (?, ?)", rows)


async def _serve(subject: str, answer: Answer) -> None:
    state = Path(os.environ["RELAYMD_STATE_DIR"])
    client = await nats.connect(
        read_connection(state).nats_url,
        user=Role.ORCHESTRATOR,
        password=read_credentials(state).passwords[Role.ORCHESTRATOR],
    )
    await client.subscribe(subject.replace("{worker}", "*"), "q", cb=answer)
    await client.subscribe(READY, cb=_echo)
    await asyncio.Event().wait()


async def _echo(message: Msg) -> None:
    await message.respond(message.data)


async def _lease() -> None:
    path = Path(os.environ["RELAYMD_STATE_DIR"]) / "bare.db"
    with closing(sqlite3.connect(path, check_same_thread=False)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        file.execute("CREATE TABLE IF NOT EXISTS leases (worker TEXT PRIMARY KEY, said BLOB)")
        leases = Leases(file)
        async with asyncio.TaskGroup() as group:

            async def begin(message: Msg) -> None:  # nats-py awaits one callback before the next
                group.create_task(leases.answer(message))

            group.create_task(leases.write())
            group.create_task(_serve(LEASE, begin))


if __name__ == "__main__":
    process.run(_lease() if sys.argv[1] == "lease" else _serve(ECHO, _echo))
