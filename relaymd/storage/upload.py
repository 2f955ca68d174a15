"""Storing the files of a checkpoint: only chunks that are not known to be there travel."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from relaymd.core.ids import JobId
from relaymd.process import Offload
from relaymd.storage import keys
from relaymd.storage.manifest import CHUNK_SIZE, Chunk, FileEntry, digest
from relaymd.storage.parallel import AT_ONCE, each
from relaymd.storage.store import ChangedFileError, Store


class UploadResult(msgspec.Struct, frozen=True, kw_only=True):
    files: tuple[FileEntry, ...]
    """By path, reused ones included: what goes into the manifest."""

    size: int
    """Bytes of all files together."""

    uploaded: int
    """Bytes that had to travel."""


def chunks_of(files: Sequence[FileEntry]) -> frozenset[str]:
    """The digests of all chunks of the files."""
    return frozenset(chunk.digest for file in files for chunk in file.chunks)


async def upload(
    store: Store,
    job: JobId,
    root: Path,
    paths: Sequence[str],
    *,
    reuse: Mapping[str, FileEntry] | None = None,
    known: AbstractSet[str] = frozenset(),
    offload: Offload = asyncio.to_thread,
) -> UploadResult:
    """Store the files under the root, cut into chunks. Raises StorageError, OSError.

    paths: relative; the files do not change during the call (the caller made copies), and
        carry the mode and time of what they are copies of.
    reuse: entries of files that have not changed since; those are taken over unread.
    known: digests of chunks that are certainly stored, because a generation that was committed
        or read back by this process holds them. A chunk that was found damaged is not known.
    """
    reuse = reuse or {}
    if lost := chunks_of([*reuse.values()]) - known:
        raise ValueError(f"{len(lost)} chunks of reused files are not known to be stored")
    cycle = _Upload(store, job, root, known, offload)
    fresh = await each([path for path in paths if path not in reuse], cycle.file)
    files = sorted([*fresh, *reuse.values()], key=lambda file: file.path)
    return UploadResult(
        files=tuple(files), size=sum(file.size for file in files), uploaded=cycle.uploaded
    )


class _Upload:
    def __init__(
        self, store: Store, job: JobId, root: Path, known: AbstractSet[str], offload: Offload
    ) -> None:
        self._store = store
        self._job = job
        self._root = root
        self._known = known
        self._offload = offload
        self._sent = set[str]()
        self._slots = asyncio.Semaphore(AT_ONCE)
        """Each holds one chunk in memory."""

        self.uploaded = 0

    async def file(self, path: str) -> FileEntry:
        status = await self._offload(os.stat, self._root / path)

        async def chunk(offset: int) -> Chunk:
            return await self._chunk(path, offset, min(CHUNK_SIZE, status.st_size - offset))

        return FileEntry(
            path=path,
            size=status.st_size,
            mode=status.st_mode & 0o777,
            mtime_ns=status.st_mtime_ns,
            chunks=tuple(await each(range(0, status.st_size, CHUNK_SIZE), chunk)),
        )

    async def _chunk(self, path: str, offset: int, size: int) -> Chunk:
        async with self._slots:
            chunk, data = await self._offload(_read, self._root / path, offset, size)
            if chunk.digest not in self._known and chunk.digest not in self._sent:
                # Whoever meets the same chunk while it travels relies on it: if it does not
                # arrive, the whole upload fails.
                self._sent.add(chunk.digest)
                await self._store.put(keys.chunk(self._job, chunk.digest), data)
                self.uploaded += size
        return chunk


def _read(path: Path, offset: int, size: int) -> tuple[Chunk, bytes]:
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise ChangedFileError(f"{path} became shorter while it was read")
    return Chunk(digest(data), size), data
