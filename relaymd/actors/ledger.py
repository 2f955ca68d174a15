"""What the orchestrator remembers: applied in memory at once, promised when it is on disk."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from relaymd.actors import facts
from relaymd.actors.archive import Archive, UnknownJobError
from relaymd.actors.bell import Bell
from relaymd.actors.books import Books
from relaymd.actors.commits import LedgerUnavailableError
from relaymd.actors.disk import Disk
from relaymd.actors.state import State
from relaymd.core.allocation import Allocation
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
        self._books = Books(disk, state, committed=self.committed.ring, recovered=self.queued.ring)
        self.archive = Archive(disk, lambda: self.jobs)
        """What is known of jobs that have ended, too, and of past events."""

    @classmethod
    @asynccontextmanager
    async def open(cls, disk: Disk, *, wall: Callable[[], UnixTime]) -> AsyncGenerator["Ledger"]:
        """Read everything back; what is recorded within the context is on disk at its end."""
        ledger = cls(disk, State(await disk.load()), wall)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(ledger._books.commits.run(), name="ledger")
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
        return self._books.state.jobs

    @property
    def backlog(self) -> Backlog:
        return self._books.state.backlog

    @property
    def workers(self) -> Mapping[WorkerId, Worker]:
        return self._books.state.workers

    @property
    def allocations(self) -> Mapping[AllocationId, Allocation]:
        """All that have not ended."""
        return self._books.state.allocations

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Those that have something against them."""
        return self._books.state.nodes

    @property
    def switches(self) -> Mapping[str, Switch]:
        """What operators said about clusters, by the cluster."""
        return self._books.state.switches

    @property
    def unreachable(self) -> frozenset[str]:
        """The clusters of which people were told that they cannot be asked."""
        return self._books.state.unreachable

    @property
    def counts(self) -> Mapping[JobState, int]:
        return self._books.state.counts

    @property
    def unpublished(self) -> int:
        """Events that the stream may not have yet."""
        return self._books.state.seq - self._books.state.published

    @property
    def last_event(self) -> int:
        """`seq` of the newest event; it may not be on disk yet."""
        return self._books.state.seq

    @property
    def published_up_to(self) -> int:
        return self._books.state.published

    @property
    def broken(self) -> str:
        """Why nothing can be recorded just now; empty: all is well."""
        return self._books.commits.broken

    def leased(self) -> Iterable[Job]:
        """The jobs that hold a lease."""
        return self._books.state.leased()

    def held_by(self, worker: WorkerId) -> Mapping[JobId, Job]:
        return self._books.state.held_by(worker)

    def seats_of(self, worker: WorkerId) -> tuple[Seat, ...]:
        """The slots of a registered worker, by their number."""
        return self._books.state.seats_of(worker)

    def worker_of(self, allocation: AllocationId) -> Worker | None:
        return self._books.state.worker_of(allocation)

    def allocation_of(self, worker: WorkerId) -> AllocationId | None:
        """The one it was told, or the one that its provider knows under the same name."""
        return self._books.state.allocation_of(worker)

    def has_joined(self, allocation: AllocationId) -> bool:
        """Whether a worker of this live allocation ever registered, as far as we remember."""
        return self._books.state.has_joined(allocation)

    def quarantine(self, worker: Worker) -> Quarantine | None:
        """Whether the worker's node gets no work just now, and why."""
        return self._books.state.quarantine(node_of(worker), self.wall())

    def hosts_in_quarantine(self, cluster: str) -> tuple[str, ...]:
        """As their workers called them."""
        return self._books.state.hosts_in_quarantine(cluster, self.wall())

    # -- what changes

    def record(self, id: JobId, event: JobEvent, *, base: Job | None = None) -> asyncio.Future[Job]:
        """Apply the event to the job as it is now; the only way a job changes.

        base: a final job as the archive just gave it, for an event that revives it. Raises
        UnknownJobError, StaleLeaseError or IllegalTransitionError; then nothing is changed.
        """
        self._books.check()
        known = self.jobs.get(id)
        job = known or base
        if job is None:
            raise UnknownJobError(f"there is no job {id!r} that could change")
        at = self.wall()
        changed = apply(job, event, at=at)
        done = self._change(changed, event, at, known=job)
        self._judge_node(job, event, at)
        return done

    async def add(self, job: Job, *, by: str = "") -> Job:
        """Take a submitted job in. The same once more is answered with the job as it is now.

        Raises DuplicateJobError when the id belongs to a different one.
        """
        self._books.check()
        known = await self.archive.known(job.id)
        if known is None:
            self._books.check()
            event = Submitted(title=job.title, by=by)
            return await self._change(job, event, job.submitted_at, known=None)
        if _definition(known) != _definition(job):
            raise DuplicateJobError(f"the id {job.id} belongs to another job")
        return await self.settled(known)

    def put_worker(self, worker: Worker, event: WorkerEvent) -> asyncio.Future[Worker]:
        """Register a worker, or note a change of it."""
        self._tell(worker.id, event)
        self._books.put_worker(worker)
        return self._books.promise(worker)

    def forget(self, id: WorkerId, event: WorkerEvent) -> asyncio.Future[None]:
        """Strike a worker off the register."""
        self._tell(id, event)
        self._books.drop_worker(id)
        return self._books.promise(None)

    def release(self, worker: Worker, event: WorkerReleased) -> asyncio.Future[None]:
        """Forget what is against the worker's node."""
        self._tell(worker.id, event)
        self._books.put_node(node_of(worker), None)
        self.queued.ring()
        return self._books.promise(None)

    def put_allocation(
        self, allocation: Allocation, kind: str, reason: str = ""
    ) -> asyncio.Future[Allocation]:
        """Note what became of an allocation. kind: as ProviderChanged has it."""
        self._books.check()
        row = facts.provider_changed(self._books.next, self.wall(), allocation, kind, reason)
        self._books.append(row)
        self._books.put_allocation(allocation)
        return self._books.promise(allocation)

    def put_switch(self, switch: Switch) -> asyncio.Future[Switch]:
        """Note what an operator said about a cluster."""
        self._books.check()
        kind = "enabled" if switch.enabled else "disabled"
        row = facts.cluster_changed(self._books.next, switch.at, switch.cluster, kind, switch.by)
        self._books.append(row)
        self._books.put_switch(switch)
        return self._books.promise(switch)

    def put_unreachable(self, cluster: str, reason: str) -> asyncio.Future[None]:
        """Note that a cluster cannot be asked."""
        return self._put_reach(cluster, "unreachable", reason, self.unreachable | {cluster})

    def put_reachable(self, cluster: str) -> asyncio.Future[None]:
        """Note that it can be asked again."""
        return self._put_reach(cluster, "reachable", "", self.unreachable - {cluster})

    def published(self, seq: int) -> None:
        """The stream has all events up to this one. Stored with the next commit."""
        self._books.put_published(seq)

    def settled(self, value: T) -> asyncio.Future[T]:
        """Becomes the value when everything recorded so far is on disk."""
        return self._books.commits.settled(value)

    # -- how

    def _change(
        self, job: Job, event: JobEvent, at: UnixTime, *, known: Job | None
    ) -> asyncio.Future[Job]:
        self._books.append(facts.job_changed(self._books.next, at, job, event))
        self._books.put_job(job, known=known)
        if job.state is JobState.QUEUED or job.lease is None:
            self.queued.ring()
        return self._books.promise(job)

    def _judge_node(self, job: Job, event: JobEvent, at: UnixTime) -> None:
        """What the event says of the node that had the job's lease."""
        worker = self.workers.get(job.lease.worker) if job.lease is not None else None
        if worker is None:
            return
        state, id = self._books.state, node_of(worker)
        before, known = state.quarantine(id, at), state.nodes.get(id)
        node = note(known, id, job, event, at=at)
        if node is known:
            return
        self._books.put_node(id, node)
        after = state.quarantine(id, at)
        if before is None and after is not None:
            quarantined = WorkerQuarantined(until=after.until, reason=after.reason)
            self._tell(worker.id, quarantined)

    def _put_reach(
        self, cluster: str, kind: str, reason: str, unreachable: frozenset[str]
    ) -> asyncio.Future[None]:
        self._books.check()
        now = self.wall()
        self._books.append(facts.cluster_changed(self._books.next, now, cluster, kind, reason))
        self._books.put_unreachable(unreachable)
        return self._books.promise(None)

    def _tell(self, id: WorkerId, event: WorkerEvent) -> None:
        self._books.check()
        self._books.append(facts.worker_changed(self._books.next, self.wall(), id, event))


def _definition(job: Job) -> tuple[object, ...]:
    """What a submit says, and what makes a repeated one the same."""
    return (job.title, job.command, job.bundle, job.requirements, job.priority)
