"""An object store in memory, slow and unreliable as asked, whole in what it keeps."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

from relaymd.core.ids import UnixTime
from relaymd.storage.store import (
    MissingObjectError,
    ObjectInfo,
    StorageDeniedError,
    StorageError,
    StorageUnreachableError,
)
from tests.simulation.drive import Drive, ModelDrive
from tests.simulation.process import WORLD

T = TypeVar("T")


class ModelStore:
    """Implements `Store`. A put lands before its answer, and may land although that is lost."""

    def __init__(self, rng: Random, drive: Drive | None = None) -> None:
        """drive: where the files of those lie who use it."""
        self.objects: dict[str, bytes] = {}
        self.trouble = 0.0
        """The share of operations that fail, 0 to 1."""

        self.denies = False
        self.slowest = 0.02
        """Seconds an operation takes at most."""

        self.damaged: set[str] = set()
        """Keys whose objects a fault has spoiled, and nobody has stored again."""

        self.was_damaged = False

        self._rng = rng
        self._drive = drive or ModelDrive()

    async def put(self, key: str, data: bytes) -> None:
        await self._operate(key, lambda: self._write(key, data))

    async def put_file(self, key: str, path: Path) -> None:
        await self.put(key, self._drive.read(path))

    async def get(self, key: str) -> bytes:
        return await self._operate(key, lambda: self._read(key))

    async def get_file(self, key: str, path: Path) -> None:
        self._drive.write(path, await self.get(key), 0.0)

    async def head(self, key: str) -> ObjectInfo | None:
        return await self._operate(key, lambda: self._info(key) if key in self.objects else None)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        for info in await self._operate(prefix, lambda: self._listed(prefix)):
            yield info

    async def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            await self._operate(key, lambda key=key: self.objects.pop(key, None))  # type: ignore[misc]

    async def close(self) -> None:
        """It stays; who used it goes."""

    def spoil(self, key: str, data: bytes | None) -> None:
        """Replace what lies there, as a bad disk would; None: it is gone."""
        self.damaged.add(key)
        self.was_damaged = True
        if data is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = data

    def _write(self, key: str, data: bytes) -> None:
        self.objects[key] = data
        self.damaged.discard(key)

    def _read(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise MissingObjectError(key) from None

    def _listed(self, prefix: str) -> Sequence[ObjectInfo]:
        """As they lie there now; while they are read, another may remove some."""
        return [self._info(key) for key in sorted(self.objects) if key.startswith(prefix)]

    def _info(self, key: str) -> ObjectInfo:
        return ObjectInfo(key=key, size=len(self.objects[key]), modified=UnixTime(0))

    async def _operate(self, key: str, work: Callable[[], T]) -> T:
        """Do it in the middle of the time that it takes; what then fails may have been done."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        rng = self._rng
        first, second = rng.uniform(0, self.slowest), rng.uniform(0, self.slowest)
        loop.call_later(first, self._middle, key, work, answer, second, context=WORLD)
        return await answer

    def _middle(
        self, key: str, work: Callable[[], T], answer: asyncio.Future[T], second: float
    ) -> None:
        lost = self.trouble > 0 and self._rng.random() < self.trouble
        outcome: T | StorageError
        if self.denies:
            outcome = StorageDeniedError(key, "403")
        elif lost and self._rng.random() < 0.5:
            outcome = StorageUnreachableError(key, "500")
        else:
            try:
                outcome = work()
            except MissingObjectError as exc:
                outcome = exc
            if lost:
                outcome = StorageUnreachableError(key, "the answer is lost")
        loop = asyncio.get_running_loop()
        loop.call_later(second, _finish, answer, outcome, context=WORLD)


def _finish(answer: asyncio.Future[T], outcome: T | StorageError) -> None:
    if answer.done():
        return
    if isinstance(outcome, StorageError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
