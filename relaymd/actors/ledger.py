"""What the orchestrator remembers: applied in memory at once, promised when it is on disk."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from relaymd.actors import facts
from relaymd.actors.bell import Bell
from relaymd.actors.commits import Commits, LedgerUnavailableError
from relaymd.actors.disk import Batch, Disk, EventRow, Place
from relaymd.actors.state import State
from relaymd.core.allocation import Allocation
from relaymd.core.avoiding import Avoided
from relaymd.core.backlog import Backlog
from relaymd.core.clusters import Switch
from relaymd.core.events import JobEvent, Submitted
from relaymd.core.ids import AllocationId, JobId, UnixTime, WorkerId
from relaymd.core.job import Job, JobState, apply
from relaymd.core.quarantine import Node, Quarantine, note
from relaymd.core.resources import Seat
from relaymd.core.worker import (
    Worker,
    WorkerEvent,
    WorkerQuarantined,
    WorkerReleased,
    node_of,
)

T = TypeVar("T")


class UnknownJobError(Exception):
    """No job has this id, or none that has not ended."""


class AmbiguousJobError(Exception):
    """Several ids begin like this."""


class DuplicateJobError(Exception):
    """Another job was submitted under this id."""


class Ledger:
    """The only writer of jobs, workers and allocations.

    What a method changes is seen by everybody when it returns, and is on disk when its future
    is done; until then nobody outside may be told. A future fails with LedgerUnavailableError
    when the disk failed, and then everything since the last commit is as if it never was.
    Methods raise the same error while the disk is away.
    """

    def __init__(self, disk: Disk, state: State, wall: Callable[[], UnixTime]) -> None:
        self.queued = Bell()
        """Rings when a job joins the queue, or a seat may have become free."""

        self.committed = Bell()
        """Rings when there are new events on disk."""

        self.wall = wall
        self._disk = disk
        self._state = state
        self._commits = Commits(
            disk,
            stored=self._stored,
            reload=self._reload,
            probe=self._probe,
            recovered=self.queued.ring,
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, disk: Disk, *, wall: Callable[[], UnixTime]) -> AsyncGenerator["Ledger"]:
        """Read everything back; what is recorded within the context is on disk at its end."""
        ledger = cls(disk, State(await disk.load()), wall)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(ledger._commits.run(), name="ledger")
            try:
                yield ledger
            finally:
                # A commit that is under way is waited for: its waiters must hear of it.
                with suppress(LedgerUnavailableError):
                    await ledger.settled(None)
                writer.cancel()

    # -- what is known

    @property
    def jobs(self) -> Mapping[JobId, Job]:
        """All that are not final, and final ones until that is on disk."""
        return self._state.jobs

    @property
    def backlog(self) -> Backlog:
        return self._state.backlog

    @property
    def workers(self) -> Mapping[WorkerId, Worker]:
        return self._state.workers

    @property
    def allocations(self) -> Mapping[AllocationId, Allocation]:
        """All that have not ended."""
        return self._state.allocations

    @property
    def switches(self) -> Mapping[str, Switch]:
        """What operators said about clusters, by the cluster."""
        return self._state.switches

    @property
    def counts(self) -> Mapping[JobState, int]:
        return self._state.counts

    @property
    def unpublished(self) -> int:
        """Events that the stream may not have yet."""
        return self._state.seq - self._state.published

    @property
    def last_event(self) -> int:
        """`seq` of the newest event; it may not be on disk yet."""
        return self._state.seq

    @property
    def published_up_to(self) -> int:
        return self._state.published

    @property
    def broken(self) -> str:
        """Why nothing can be recorded just now; empty: all is well."""
        return self._commits.broken

    def leased(self) -> Iterable[Job]:
        """The jobs that hold a lease."""
        return self._state.leased()

    def held_by(self, worker: WorkerId) -> Mapping[JobId, Job]:
        return self._state.held_by(worker)

    def seats_of(self, worker: WorkerId) -> tuple[Seat, ...]:
        """The slots of a registered worker, by their number."""
        return self._state.seats_of(worker)

    def worker_of(self, allocation: AllocationId) -> Worker | None:
        return self._state.worker_of(allocation)

    def allocation_of(self, worker: WorkerId) -> AllocationId | None:
        """The one it was told, or the one that its provider knows under the same name."""
        return self._state.allocation_of(worker)

    def has_joined(self, allocation: AllocationId) -> bool:
        """Whether a worker of this live allocation ever registered, as far as we remember."""
        return self._state.has_joined(allocation)

    def quarantine(self, worker: Worker) -> Quarantine | None:
        """Whether the worker's node gets no work just now, and why."""
        return self._state.quarantine(node_of(worker), self.wall())

    def avoided(self) -> Mapping[JobId, Avoided]:
        """The nodes on which jobs ended badly, by the job."""
        return self._state.avoided(self.wall())

    def open_seats(self) -> list[Seat]:
        """Idle or not: those of workers that stay, and whose node is in no quarantine."""
        staying = (worker for worker in self.workers.values() if not worker.leaving)
        here = (worker.id for worker in staying if self.quarantine(worker) is None)
        return [seat for id in here for seat in self.seats_of(id)]

    async def fetch(self, id: JobId) -> Job:
        """The job of this id, or the only one whose id begins so; final ones as well.

        Raises UnknownJobError or AmbiguousJobError.
        """
        if (job := self.jobs.get(id) or await self._disk.job(id)) is None:
            found = await self._disk.jobs_like(id) if id else ()
            if len(found) > 1:
                raise AmbiguousJobError(f"several jobs begin with {id!r}")
            if not found:
                raise UnknownJobError(f"there is no job {id!r}")
            job = found[0]
        return self.jobs.get(job.id, job)

    async def page(
        self, states: Sequence[JobState], *, limit: int, after: Place | None
    ) -> Sequence[Job]:
        """Jobs by the time of their submit, the newest first."""
        found = await self._disk.page(states, limit=limit, after=after)
        return [self.jobs.get(job.id, job) for job in found]

    async def latest_of(self, id: JobId, *, limit: int) -> Sequence[bytes]:
        return await self._disk.latest_of(id, limit=limit)

    async def milestones_of(self, id: JobId) -> Sequence[bytes]:
        return await self._disk.milestones_of(id)

    async def events_after(self, seq: int, *, limit: int) -> Sequence[EventRow]:
        return await self._disk.events_after(seq, limit=limit)

    # -- what changes

    def record(self, id: JobId, event: JobEvent, *, base: Job | None = None) -> asyncio.Future[Job]:
        """Apply the event to the job as it is now; the only way a job changes.

        base: a final job as `fetch` just gave it, for an event that revives it. Raises
        UnknownJobError, StaleLeaseError or IllegalTransitionError; then nothing is changed.
        """
        self._check()
        known = self._state.jobs.get(id)
        job = known or base
        if job is None:
            raise UnknownJobError(f"there is no job {id!r} that could change")
        at = self.wall()
        changed = apply(job, event, at=at)
        done = self._note_job(changed, event, at, known=job)
        self._note_node(job, event, at)
        return done

    async def add(self, job: Job, *, by: str = "") -> Job:
        """Take a submitted job in. The same once more is answered with the job as it is now.

        Raises DuplicateJobError when the id belongs to a different one.
        """
        self._check()
        known = self.jobs.get(job.id) or await self._disk.job(job.id)
        known = self.jobs.get(job.id, known)
        if known is None:
            self._check()
            event = Submitted(title=job.title, by=by)
            return await self._note_job(job, event, job.submitted_at, known=None)
        if _definition(known) != _definition(job):
            raise DuplicateJobError(f"the id {job.id} belongs to another job")
        return await self.settled(known)

    def put_worker(self, worker: Worker, event: WorkerEvent) -> asyncio.Future[Worker]:
        """Register a worker, or note a change of it."""
        self._note_worker(worker.id, event)
        self._state.put_worker(worker)
        self._commits.pending.batch.workers[worker.id] = worker
        return self._commits.pending.promise(worker)

    def forget(self, id: WorkerId, event: WorkerEvent) -> asyncio.Future[None]:
        """Strike a worker off the register."""
        self._note_worker(id, event)
        self._state.drop_worker(id)
        self._commits.pending.batch.workers[id] = None
        return self._commits.pending.promise(None)

    def release(self, worker: Worker, event: WorkerReleased) -> asyncio.Future[None]:
        """Forget what is against the worker's node."""
        self._note_worker(worker.id, event)
        self._put_node(node_of(worker), None)
        self.queued.ring()
        return self._commits.pending.promise(None)

    def put_allocation(
        self, allocation: Allocation, kind: str, reason: str = ""
    ) -> asyncio.Future[Allocation]:
        """Note what became of an allocation. kind: as ProviderChanged has it."""
        self._check()
        row = facts.provider_changed(self._next(), self.wall(), allocation, kind, reason)
        self._append(row)
        self._state.put_allocation(allocation)
        self._commits.pending.batch.allocations[allocation.id] = allocation
        return self._commits.pending.promise(allocation)

    def put_switch(self, switch: Switch) -> asyncio.Future[Switch]:
        """Note what an operator said about a cluster."""
        self._check()
        kind = "enabled" if switch.enabled else "disabled"
        row = facts.cluster_changed(self._next(), switch.at, switch.cluster, kind, switch.by)
        self._append(row)
        self._state.switches[switch.cluster] = switch
        self._commits.pending.batch.switches[switch.cluster] = switch
        return self._commits.pending.promise(switch)

    def published(self, seq: int) -> None:
        """The stream has all events up to this one. Stored with the next commit."""
        self._state.published = max(self._state.published, seq)
        self._commits.pending.batch.published = self._state.published

    def settled(self, value: T) -> asyncio.Future[T]:
        """Becomes the value when everything recorded so far is on disk."""
        return self._commits.settled(value)

    # -- how

    def _check(self) -> None:
        if self._commits.broken:
            raise LedgerUnavailableError(self._commits.broken)

    def _next(self) -> int:
        return self._state.seq + 1

    def _append(self, row: EventRow) -> None:
        self._state.seq = row.seq
        self._commits.pending.batch.events.append(row)
        self._commits.wake()

    def _note_job(
        self, job: Job, event: JobEvent, at: UnixTime, *, known: Job | None
    ) -> asyncio.Future[Job]:
        self._append(facts.job_changed(self._next(), at, job, event))
        self._state.put(job, known=known)
        self._commits.pending.batch.jobs[job.id] = job
        if job.state is JobState.QUEUED or job.lease is None:
            self.queued.ring()
        return self._commits.pending.promise(job)

    def _note_node(self, job: Job, event: JobEvent, at: UnixTime) -> None:
        """What the event says of the node that had the job's lease."""
        worker = self.workers.get(job.lease.worker) if job.lease is not None else None
        if worker is None:
            return
        id = node_of(worker)
        before, known = self._state.quarantine(id, at), self._state.nodes.get(id)
        node = note(known, id, job, event, at=at)
        if node is known:
            return
        self._put_node(id, node)
        after = self._state.quarantine(id, at)
        if before is None and after is not None:
            quarantined = WorkerQuarantined(until=after.until, reason=after.reason)
            self._note_worker(worker.id, quarantined)

    def _put_node(self, id: str, node: Node | None) -> None:
        self._state.put_node(id, node)
        self._commits.pending.batch.nodes[id] = node

    def _note_worker(self, id: WorkerId, event: WorkerEvent) -> None:
        self._check()
        self._append(facts.worker_changed(self._next(), self.wall(), id, event))

    def _stored(self, batch: Batch) -> None:
        for job in batch.jobs.values():
            if job.state.is_final:
                self._state.evict(job)
        self.committed.ring()

    async def _reload(self) -> None:
        """Begin anew from what the disk has."""
        published = self._state.published
        self._state = State(await self._disk.load())
        self._state.published = max(self._state.published, published)

    async def _probe(self) -> None:
        await self._disk.commit(Batch(published=self._state.published))


def _definition(job: Job) -> tuple[object, ...]:
    """What a submit says, and what makes a repeated one the same."""
    return (job.title, job.command, job.bundle, job.requirements, job.priority)
