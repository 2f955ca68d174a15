"""What the ledger needs of a disk: to load everything once, and to commit a batch as one."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from relaymd.core.allocation import Allocation
from relaymd.core.clusters import Switch
from relaymd.core.ids import AllocationId, Epoch, JobId, UnixTime, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.quarantine import Node
from relaymd.core.worker import Worker


class DiskError(Exception):
    """The disk did not do it: full, broken, locked. Nothing of the batch is stored, or all."""


class DatabaseError(Exception):
    """This file cannot be our ledger, or must not be used as one. The message is one sentence."""


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """One fact as it is stored, and as the outbox publishes it."""

    seq: int
    subject: str
    kind: str
    at: UnixTime
    body: bytes
    """The JSON of JobChanged, WorkerChanged or ProviderChanged."""

    job: JobId | None = None
    worker: WorkerId | None = None
    epoch: Epoch | None = None


class Batch(msgspec.Struct, kw_only=True):
    """Changes that belong to one transaction. None stands for a row to delete."""

    events: list[EventRow] = []
    jobs: dict[JobId, Job] = {}
    workers: dict[WorkerId, Worker | None] = {}
    allocations: dict[AllocationId, Allocation] = {}
    nodes: dict[str, Node | None] = {}
    switches: dict[str, Switch] = {}
    unreachable: frozenset[str] | None = None
    """The clusters of which people were told that they cannot be asked; None: as before."""

    published: int | None = None
    """All events up to this one are known to be in the stream."""

    def __bool__(self) -> bool:
        return bool(self.events or self.jobs or self.workers or self.allocations or self.switches)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept in memory."""

    jobs: Sequence[Job]
    """Those that are not final."""

    workers: Sequence[Worker]
    allocations: Sequence[Allocation]
    """Those that have not ended."""

    switches: Sequence[Switch] = ()
    unreachable: frozenset[str] = frozenset()
    """As Batch has it."""

    counts: dict[JobState, int]
    """How many jobs are in each state, final ones as well."""

    seq: int
    """Of the latest event; 0 before the first."""

    published: int
    nodes: Sequence[Node] = ()
    """Those that have something against them."""


class Place(msgspec.Struct, frozen=True):
    """A position in the list of jobs, the newest first."""

    submitted_at: UnixTime
    job: JobId


class Disk(Protocol):
    """Operations end in the order in which they were begun. All raise DiskError."""

    async def load(self) -> Snapshot: ...

    async def commit(self, batch: Batch) -> None:
        """Store all of it in one durable transaction, or nothing."""
        ...

    async def job(self, id: JobId) -> Job | None: ...

    async def jobs_like(self, prefix: str) -> Sequence[Job]:
        """The jobs whose id begins so, at most two: enough to see that it is not one."""
        ...

    async def page(
        self, states: Sequence[JobState], *, limit: int, after: Place | None
    ) -> Sequence[Job]:
        """The newest submits first. states: empty for all."""
        ...

    async def latest_of(self, id: JobId, *, limit: int) -> Sequence[bytes]:
        """Bodies of the job's latest events, oldest first."""
        ...

    async def milestones_of(self, id: JobId) -> Sequence[bytes]:
        """Bodies of the events that segments are made of, oldest first.

        Of the checkpoints of one lease only the last: there may be a hundred thousand.
        """
        ...

    async def events_after(self, seq: int, *, limit: int) -> Sequence[EventRow]: ...
