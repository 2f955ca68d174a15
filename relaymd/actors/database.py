"""The ledger's file: SQLite behind aiosqlite, in a thread of its own."""

import fcntl
import os
import sqlite3
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import aiosqlite

from relaymd.actors.disk import DatabaseError, DiskError
from relaymd.actors.filesystems import unsafe
from relaymd.actors.schema import migrate
from relaymd.actors.tables import Row, Statement, Tables

ANY_FILESYSTEM = "RELAYMD_LEDGER_ON_ANY_FILESYSTEM"
"""Environment: `1` opens the ledger also on a network file system, at the operator's risk."""

BUSY = 5.0
"""Seconds to wait for somebody who reads the file with another program."""


class Connection:
    """A Session over aiosqlite."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def write(self, statements: Sequence[Statement]) -> None:
        # The connection begins its transaction by itself, before the first statement: each call
        # is a hop to the thread and back.
        try:
            for sql, rows in statements:
                await self._connection.executemany(sql, rows)
            await self._connection.commit()
        except sqlite3.Error as exc:
            await self._undo()
            raise DiskError(str(exc)) from exc

    async def migrate(self, statements: Sequence[str]) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
            for sql in statements:
                await self._connection.execute(sql)
            await self._connection.commit()
        except sqlite3.Error as exc:
            await self._undo()
            raise DiskError(str(exc)) from exc

    async def read(self, sql: str, values: Row = ()) -> Sequence[Row]:
        try:
            return [*await self._connection.execute_fetchall(sql, values)]
        except sqlite3.Error as exc:
            raise DiskError(str(exc)) from exc

    async def _undo(self) -> None:
        # It has rolled back by itself in some cases, as when the disk is full.
        with suppress(sqlite3.Error):
            await self._connection.rollback()


@asynccontextmanager
async def open_database(path: Path) -> AsyncGenerator[Tables]:
    """The ledger in this file, made if it is not there, brought up to date if it is old.

    Raises DatabaseError when the file is not ours, is newer than this program, is used by
    another process, or lies where SQLite cannot be trusted.
    """
    _check_place(path)
    with _held(path):
        try:
            async with aiosqlite.connect(path, timeout=BUSY, isolation_level="IMMEDIATE") as file:
                await _prepare(file, path)
                async with aiosqlite.connect(path, timeout=BUSY) as other:
                    yield Tables(Connection(file), Connection(other))
        except sqlite3.DatabaseError as exc:
            raise DatabaseError(f"{path} cannot be used as a ledger: {exc}") from exc


async def _prepare(file: aiosqlite.Connection, path: Path) -> None:
    await file.execute("PRAGMA synchronous = FULL")
    await file.execute("PRAGMA journal_mode = WAL")
    try:
        await migrate(Connection(file))
    except DiskError as exc:
        raise DatabaseError(f"{path} cannot be used as a ledger: {exc}") from exc
    except DatabaseError as exc:
        raise DatabaseError(f"{path} {exc}") from None


def _check_place(path: Path) -> None:
    kind = unsafe(path.resolve())
    if kind is None or os.environ.get(ANY_FILESYSTEM) == "1":
        return
    raise DatabaseError(
        f"{path} lies on a file system of type {kind}, where SQLite is not known to be safe: "
        f"use a local folder, or set {ANY_FILESYSTEM}=1 to take the risk"
    )


@contextmanager
def _held(path: Path) -> Generator[None]:
    """Keep every other orchestrator away; the kernel lets go when the process ends."""
    lock = path.with_name(path.name + ".lock")
    try:
        file = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise DatabaseError(f"{path} cannot be opened: {exc.strerror}") from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DatabaseError(f"{path} is in use by another process") from None
    finally:
        os.close(file)
