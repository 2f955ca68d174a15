"""A store that passes everything on to another; those who test change what they need."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from relaymd.storage.store import ObjectInfo, Store


class PassingStore:
    def __init__(self, inner: Store) -> None:
        self.inner = inner

    async def put(self, key: str, data: bytes) -> None:
        await self.inner.put(key, data)

    async def put_file(self, key: str, path: Path) -> None:
        await self.inner.put_file(key, path)

    async def get(self, key: str) -> bytes:
        return await self.inner.get(key)

    async def get_file(self, key: str, path: Path) -> None:
        await self.inner.get_file(key, path)

    async def head(self, key: str) -> ObjectInfo | None:
        return await self.inner.head(key)

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        return self.inner.list(prefix)

    async def delete(self, keys: Iterable[str]) -> None:
        await self.inner.delete(keys)

    async def close(self) -> None:
        await self.inner.close()
