"""A disk that fails when told to, around a real one."""

from collections.abc import Sequence

from relaymd.actors.disk import Batch, Disk, DiskError, EventRow, Place, Snapshot
from relaymd.core.ids import JobId
from relaymd.core.job import Job, JobState


class FailingDisk:
    """Implements Disk."""

    def __init__(self, inner: Disk) -> None:
        self._inner = inner
        self.full = False
        self.unreadable = False
        self.lies = False
        """It stores, and then reports an error: `Nothing of the batch is stored, or all.`"""

        self.commits = 0

    async def load(self) -> Snapshot:
        self._read()
        return await self._inner.load()

    async def commit(self, batch: Batch) -> None:
        if self.full:
            raise DiskError("database or disk is full")
        self.commits += 1
        await self._inner.commit(batch)
        if self.lies:
            self.lies = False
            raise DiskError("disk I/O error")

    async def job(self, id: JobId) -> Job | None:
        self._read()
        return await self._inner.job(id)

    async def jobs_like(self, prefix: str) -> Sequence[Job]:
        self._read()
        return await self._inner.jobs_like(prefix)

    async def page(
        self, states: Sequence[JobState], *, limit: int, after: Place | None
    ) -> Sequence[Job]:
        self._read()
        return await self._inner.page(states, limit=limit, after=after)

    async def latest_of(self, id: JobId, *, limit: int) -> Sequence[bytes]:
        self._read()
        return await self._inner.latest_of(id, limit=limit)

    async def milestones_of(self, id: JobId) -> Sequence[bytes]:
        self._read()
        return await self._inner.milestones_of(id)

    async def events_after(self, seq: int, *, limit: int) -> Sequence[EventRow]:
        self._read()
        return await self._inner.events_after(seq, limit=limit)

    def _read(self) -> None:
        if self.unreadable:
            raise DiskError("disk I/O error")
