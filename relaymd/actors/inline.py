"""The ledger's file without a thread, for a simulation, where everything happens in its turn."""

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from relaymd.actors.disk import DiskError
from relaymd.actors.schema import migrate
from relaymd.actors.tables import Row, Statement, Tables


class InlineSession:
    """A Session over the standard library's sqlite3."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def write(self, statements: Sequence[Statement]) -> None:
        try:
            with self._connection:
                for sql, rows in statements:
                    self._connection.executemany(sql, rows)
        except sqlite3.Error as exc:
            raise DiskError(str(exc)) from exc

    async def migrate(self, statements: Sequence[str]) -> None:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                for sql in statements:
                    self._connection.execute(sql)
        except sqlite3.Error as exc:
            raise DiskError(str(exc)) from exc

    async def read(self, sql: str, values: Row = ()) -> Sequence[Row]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as exc:
            raise DiskError(str(exc)) from exc


@asynccontextmanager
async def open_inline(path: Path | None = None) -> AsyncGenerator[Tables]:
    """The ledger in this file, or in memory. As durable as the simulation needs: not at all."""
    with closing(sqlite3.connect(path or ":memory:", isolation_level="IMMEDIATE")) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        session = InlineSession(connection)
        await migrate(session)
        yield Tables(session)
