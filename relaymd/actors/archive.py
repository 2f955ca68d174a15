"""Questions that only the disk can answer: of jobs that have ended, and of past events."""

from collections.abc import Callable, Mapping, Sequence

from relaymd.actors.disk import Disk, EventRow, Place
from relaymd.core.ids import JobId
from relaymd.core.job import Job, JobState


class UnknownJobError(Exception):
    """No job has this id, or none that has not ended."""


class AmbiguousJobError(Exception):
    """Several ids begin like this."""


class Archive:
    """Reads. A job that memory has is answered as memory has it: the disk may be behind."""

    def __init__(self, disk: Disk, live: Callable[[], Mapping[JobId, Job]]) -> None:
        """live: the jobs in memory, as of now."""
        self._disk = disk
        self._live = live

    async def known(self, id: JobId) -> Job | None:
        """The job of exactly this id."""
        found = self._live().get(id) or await self._disk.job(id)
        return self._live().get(id, found)

    async def fetch(self, id: JobId) -> Job:
        """The job of this id, or the only one whose id begins so; final ones as well.

        Raises UnknownJobError or AmbiguousJobError.
        """
        if (job := await self.known(id)) is not None:
            return job
        found = await self._disk.jobs_like(id) if id else ()
        if len(found) > 1:
            raise AmbiguousJobError(f"several jobs begin with {id!r}")
        if not found:
            raise UnknownJobError(f"there is no job {id!r}")
        return self._live().get(found[0].id, found[0])

    async def page(
        self, states: Sequence[JobState], *, limit: int, after: Place | None
    ) -> Sequence[Job]:
        """Jobs by the time of their submit, the newest first."""
        found = await self._disk.page(states, limit=limit, after=after)
        return [self._live().get(job.id, job) for job in found]

    async def latest_of(self, id: JobId, *, limit: int) -> Sequence[bytes]:
        """Bodies of the job's latest events, oldest first."""
        return await self._disk.latest_of(id, limit=limit)

    async def milestones_of(self, id: JobId) -> Sequence[bytes]:
        """Bodies of the events that segments are made of, oldest first."""
        return await self._disk.milestones_of(id)

    async def events_after(self, seq: int, *, limit: int) -> Sequence[EventRow]:
        return await self._disk.events_after(seq, limit=limit)
