"""An object store in memory, slow and unreliable as asked, whole in what it keeps."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from random import Random
from typing import TypeVar

from tests.simulation.loop import WORLD

from relaymd.core.ids import UnixTime
from relaymd.storage.store import (
    MissingObjectError,
    ObjectInfo,
    StorageDeniedError,
    StorageUnreachableError,
)

T = TypeVar("T")


class ModelStore:
    """Implements `Store`. A put lands before its answer, and may land although the answer is lost."""

    def __init__(self, rng: Random) -> None:
        self.objects: dict[str, bytes] = {}
        self.trouble = 0.0
        """The share of operations that fail, 0 to 1."""

        self.denies = False
        self.slowest = 0.02
        """Seconds an operation takes at most."""

        self._rng = rng

    async def put(self, key: str, data: bytes) -> None:
        def land() -> None:
            self.objects[key] = data

        await self._operate(key, land)

    async def put_file(self, key: str, path: Path) -> None:
        await self.put(key, path.read_bytes())

    async def get(self, key: str) -> bytes:
        return await self._operate(key, lambda: self._read(key))

    async def get_file(self, key: str, path: Path) -> None:
        path.write_bytes(await self.get(key))

    async def head(self, key: str) -> ObjectInfo | None:
        return await self._operate(key, lambda: self._info(key) if key in self.objects else None)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        keys = await self._operate(
            prefix, lambda: sorted(key for key in self.objects if key.startswith(prefix))
        )
        for key in keys:
            yield self._info(key)

    async def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            await self._operate(key, lambda key=key: self.objects.pop(key, None))

    async def close(self) -> None:
        """It stays; who used it goes."""

    def _read(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise MissingObjectError(key) from None

    def _info(self, key: str) -> ObjectInfo:
        return ObjectInfo(key=key, size=len(self.objects[key]), modified=UnixTime(0))

    async def _operate(self, key: str, work: Callable[[], T]) -> T:
        """Do it in the middle of the time that it takes; what then fails may have been done."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        rng = self._rng
        first, second = rng.uniform(0, self.slowest), rng.uniform(0, self.slowest)

        def middle() -> None:
            lost = rng.random() < self.trouble
            if self.denies:
                finish = lambda: answer.set_exception(StorageDeniedError(key, "403"))
            elif lost and rng.random() < 0.5:
                finish = lambda: answer.set_exception(StorageUnreachableError(key, "500"))
            else:
                try:
                    value = work()
                except MissingObjectError as exc:
                    error = exc
                    finish = lambda: answer.set_exception(error)
                else:
                    finish = lambda: (
                        answer.set_exception(StorageUnreachableError(key, "the answer is lost"))
                        if lost
                        else answer.set_result(value)
                    )
            loop.call_later(second, lambda: answer.done() or finish(), context=WORLD)

        loop.call_later(first, middle, context=WORLD)
        return await answer
