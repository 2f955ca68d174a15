"""Storing the files of a checkpoint: only chunks that are not known to be there travel."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from relaymd.core.ids import Epoch, JobId
from relaymd.process import Offload
from relaymd.storage.manifest import Chunk, FileEntry
from relaymd.storage.packing import Packer
from relaymd.storage.parallel import each, first_error
from relaymd.storage.reading import Got, Piece, Source, batches, read
from relaymd.storage.sending import MEMORY, Sender, Spill, at_once
from relaymd.storage.store import Store
from relaymd.storage.stored import Stored

READERS = 4
"""Batches that are read and hashed at a time."""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of the files; not all of it need be stored yet."""

    files: tuple[FileEntry, ...]
    """By path."""

    unsure: tuple[str, ...] = ()
    """Paths of files that changed under our hands, so that moments may be mixed."""


class UploadResult(msgspec.Struct, frozen=True, kw_only=True):
    files: tuple[FileEntry, ...]
    """By path."""

    uploaded: int
    """Bytes that had to travel."""


Settled = Callable[[Read], Awaitable[None]]


async def as_it_is(read: Read) -> None:
    """For files that nobody writes."""


async def upload(
    store: Store,
    job: JobId,
    epoch: Epoch,
    sources: Sequence[Source],
    *,
    stored: Stored,
    before: Mapping[str, FileEntry] = MappingProxyType({}),
    settled: Settled = as_it_is,
    memory: int = MEMORY,
    spill: Spill | None = None,
    offload: Offload = asyncio.to_thread,
) -> UploadResult:
    """Read the files and store what the store lacks. Raises StorageError, OSError.

    stored: grows by what arrives, also where the rest fails.
    before: what was read of the files earlier, whole or not; their chunks keep its boundaries.
    settled: called when all is read, while the rest is still on its way; what it raises ends
        the upload and is raised.
    memory: bytes that may be held at a time.
    """
    work = _Upload(stored, before, epoch, offload)
    try:
        async with asyncio.TaskGroup() as tasks:
            sender = Sender(store, job, stored, tasks, offload, memory=memory, spill=spill)
            await work.read_all(sources, sender, readers=min(READERS, at_once(memory)))
            sender.close()
            files = work.files(sources)
            await settled(Read(files=files, unsure=tuple(sorted(work.unsure))))
    except ExceptionGroup as group:
        raise first_error(group) from None
    return UploadResult(files=files, uploaded=sender.uploaded)


class _Upload:
    def __init__(
        self, stored: Stored, before: Mapping[str, FileEntry], epoch: Epoch, offload: Offload
    ) -> None:
        self._stored = stored
        self._before = before
        self._offload = offload
        self._packer = Packer(epoch, stored.round)
        self._given = set[str]()
        self._chunks = defaultdict[str, list[tuple[int, Chunk]]](list)
        self.unsure = set[str]()

    async def read_all(self, sources: Sequence[Source], sender: Sender, *, readers: int) -> None:
        async def take(batch: tuple[Piece, ...]) -> None:
            for got in await self._offload(read, batch, self._is_stored):
                await self._take(got, sender)

        await each(batches(sources, self._before), take, at_once=readers)
        if rest := self._packer.rest():
            await sender.give(*rest)

    def files(self, sources: Sequence[Source]) -> tuple[FileEntry, ...]:
        found = [
            FileEntry(
                path=source.path,
                size=source.print.size,
                mode=source.print.mode & 0o777,
                mtime_ns=source.print.mtime_ns,
                chunks=tuple(chunk for _, chunk in sorted(self._chunks[source.path])),
            )
            for source in sources
        ]
        return tuple(sorted(found, key=lambda file: file.path))

    def _is_stored(self, digest: str) -> bool:
        """Also what is on its way: if it does not arrive, the whole upload fails."""
        return digest in self._stored or digest in self._given

    async def _take(self, got: Got, sender: Sender) -> None:
        path = got.piece.source.path
        self._chunks[path].append((got.piece.offset, got.chunk))
        if not got.sure:
            self.unsure.add(path)
            return
        if got.data is None or got.chunk.digest in self._given:
            return
        self._given.add(got.chunk.digest)
        if full := self._packer.add(got.chunk, got.data):
            await sender.give(*full)
