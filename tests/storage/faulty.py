"""A store that fails as it was told to: by a script of single faults, or by a seeded chance."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from relaymd.storage.store import (
    ObjectInfo,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
    Store,
)

Kind = Literal["unreachable", "unreachable after", "denied", "full", "torn"]
"""`unreachable after`: it was done, and nobody was told. `torn`: half of it was stored."""

WRITES = {"put", "put_file", "delete"}


@dataclass(frozen=True)
class Fault:
    """One failure, of the call with this number, or of every call the test picks."""

    kind: Kind
    call: int | None = None
    picks: Callable[[str, str], bool] = lambda operation, key: True
    """Operation and key of the calls it may strike."""


@dataclass
class Plan:
    """Which calls fail, how, and how long each takes. Everything random comes from the seed."""

    faults: tuple[Fault, ...] = ()
    rate: float = 0.0
    """Chance of each call to fail."""

    kinds: tuple[Kind, ...] = ("unreachable", "unreachable after")
    latency: float = 0.0
    """Seconds each call takes at most, on the loop's clock."""

    seed: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """What was asked so far: operation and key."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def next(self, operation: str, key: str) -> Kind | None:
        number = len(self.calls)
        self.calls.append((operation, key))
        chance, delay = self._random.random(), self._random.random() * self.latency
        kind = self._random.choice(self.kinds) if chance < self.rate else None
        for fault in self.faults:
            if fault.call in (None, number) and fault.picks(operation, key):
                kind = fault.kind
        if delay:
            await asyncio.sleep(delay)
        return kind


class FaultyStore:
    """Wraps a store; the plan may be changed while it runs."""

    def __init__(self, inner: Store, plan: Plan | None = None) -> None:
        self.inner = inner
        self.plan = plan or Plan()

    async def put(self, key: str, data: bytes) -> None:
        kind = await self._before("put", key)
        if kind == "torn":
            # No store of ours leaves this behind; a foreign one may.
            await self.inner.put(key, data[: len(data) // 2])
            raise StorageUnreachableError(key, "injected: torn")
        await self.inner.put(key, data)
        self._after(kind, key)

    async def put_file(self, key: str, path: Path) -> None:
        kind = await self._before("put_file", key)
        if kind == "torn":
            data = path.read_bytes()
            await self.inner.put(key, data[: len(data) // 2])
            raise StorageUnreachableError(key, "injected: torn")
        await self.inner.put_file(key, path)
        self._after(kind, key)

    async def get(self, key: str) -> bytes:
        kind = await self._before("get", key)
        data = await self.inner.get(key)
        self._after(kind, key)
        return data[: len(data) // 2] if kind == "torn" else data

    async def get_file(self, key: str, path: Path) -> None:
        kind = await self._before("get_file", key)
        await self.inner.get_file(key, path)
        self._after(kind, key)

    async def head(self, key: str) -> ObjectInfo | None:
        self._after(await self._before("head", key), key)
        return await self.inner.head(key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        self._after(await self._before("list", prefix), prefix)
        async for info in self.inner.list(prefix):
            yield info

    async def delete(self, keys: Iterable[str]) -> None:
        named = [*keys]
        kind = await self._before("delete", " ".join(named))
        await self.inner.delete(named)
        self._after(kind, " ".join(named))

    async def close(self) -> None:
        await self.inner.close()

    async def _before(self, operation: str, key: str) -> Kind | None:
        kind = await self.plan.next(operation, key)
        errors: dict[Kind, type[StorageError]] = {
            "unreachable": StorageUnreachableError,
            "denied": StorageDeniedError,
            "full": StorageFullError if operation in WRITES else StorageUnreachableError,
        }
        if kind in errors:
            raise errors[kind](key, f"injected: {kind}")
        return kind

    def _after(self, kind: Kind | None, key: str) -> None:
        if kind == "unreachable after":
            raise StorageUnreachableError(key, "injected: the answer was lost")
