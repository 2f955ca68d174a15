"""What every object store can do, and how it says that it cannot.

Absent, denied, full, damaged and out of reach are different errors: a worker that takes one
for another starts a simulation of weeks from zero.
"""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from relaymd.core.ids import UnixTime


class StorageError(Exception):
    """Base of everything a store raises on purpose. `key` says what it was about."""

    def __init__(self, key: str, reason: str) -> None:
        shown = key if key.isprintable() else repr(key)
        super().__init__(f"{shown}: {reason}")
        self.key = key
        self.reason = reason


class MissingObjectError(StorageError):
    """The store answered, and has nothing under the key."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "it is not in the store")


class StorageDeniedError(StorageError):
    """The store answered that we may not. Time does not heal it; a person does."""


class StorageFullError(StorageError):
    """There is no room for it."""


class StorageUnreachableError(StorageError):
    """No answer, or one that says to come back later. The only error that is worth a retry."""


class DamagedObjectError(StorageError):
    """What is stored is not what was stored: its hash or its length differs."""


class ChangedFileError(Exception):
    """A file of ours changed while it was being stored: nothing is wrong with the store."""


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    size: int
    """Bytes."""

    modified: UnixTime


class Store(Protocol):
    """A flat space of immutable objects under `/`-separated keys.

    A put is atomic: an object is there whole, or not. Every method raises StorageError; those
    that take a path raise OSError for what is wrong with that file or its disk.
    """

    async def put(self, key: str, data: bytes) -> None: ...

    async def put_file(self, key: str, path: Path) -> None:
        """Upload a file, in parts where it is large, without holding it in memory."""
        ...

    async def get(self, key: str) -> bytes: ...

    async def get_file(self, key: str, path: Path) -> None:
        """Download to a file, which appears under its name only when it is complete."""
        ...

    async def head(self, key: str) -> ObjectInfo | None:
        """None only where the store is certain that there is no such object."""
        ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Objects whose key begins with the prefix, in the order of their keys."""
        ...

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""
        ...

    async def close(self) -> None: ...
