"""What an engine wrote, piece by piece, each under the offset of its first byte."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from relaymd.core.ids import Epoch, JobId
from relaymd.storage import keys
from relaymd.storage.store import DamagedObjectError, Store


class LogPiece(msgspec.Struct, frozen=True, kw_only=True):
    offset: int
    """Of the first byte of `data`, within the segment's stream."""

    data: bytes
    missing: int = 0
    """Bytes before it that are not in the store."""


async def put_log_piece(
    store: Store, job: JobId, epoch: Epoch, stream: str, offset: int, data: bytes
) -> None:
    """Store a piece. The same again changes nothing; pieces may overlap."""
    await store.put(keys.log_piece(job, epoch, stream, offset, len(data)), data)


async def read_log(
    store: Store, job: JobId, epoch: Epoch, stream: str, *, after: int = 0
) -> AsyncIterator[LogPiece]:
    """One segment's stream from an offset on, without overlaps, telling of gaps.

    Raises StorageError; DamagedObjectError for a key that names no offset.
    """
    end = after
    prefix = keys.log_stream(job, epoch, stream)
    async for info in store.list(prefix):
        offset = keys.piece_offset(prefix, info.key)
        if offset is None:
            raise DamagedObjectError(info.key, "its name is no offset")
        if offset + info.size <= end:
            continue
        data = await store.get(info.key)
        fresh = data[max(0, end - offset) :]
        start = max(offset, end)
        if fresh:
            yield LogPiece(offset=start, data=fresh, missing=start - end)
            end = start + len(fresh)


async def logged_epochs(store: Store, job: JobId) -> Sequence[Epoch]:
    """The leases of which output is stored, oldest first."""
    epochs = set[Epoch]()
    async for info in store.list(keys.logs(job)):
        epoch = keys.logged_epoch(job, info.key)
        if epoch is not None:
            epochs.add(epoch)
    return sorted(epochs)
