"""The state in memory and the transaction on its way to the disk, which are changed together.

Mechanism only: what may change, and which event says so, is for the ledger, the only one that
holds these.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from relaymd.actors.commits import Commits, LedgerUnavailableError
from relaymd.actors.disk import Batch, Disk, EventRow
from relaymd.actors.state import State
from relaymd.core.allocation import Allocation
from relaymd.core.clusters import Switch
from relaymd.core.ids import WorkerId
from relaymd.core.job import Job
from relaymd.core.quarantine import Node
from relaymd.core.worker import Worker

T = TypeVar("T")


class Books:
    """What is put here is seen at once in `state`, and on disk once a promise made after is kept.

    When the disk failed, the state is read back from it: it is another object then.
    """

    def __init__(
        self,
        disk: Disk,
        state: State,
        *,
        committed: Callable[[], None],
        recovered: Callable[[], None],
    ) -> None:
        """committed: there are new events on disk. recovered: the disk takes something again."""
        self.state = state
        self._disk = disk
        self._committed = committed
        self.commits = Commits(
            disk,
            stored=self._stored,
            reload=self._reload,
            probe=self._probe,
            recovered=recovered,
        )

    def check(self) -> None:
        """Raises LedgerUnavailableError while the disk is away."""
        if self.commits.broken:
            raise LedgerUnavailableError(self.commits.broken)

    def promise(self, value: T) -> asyncio.Future[T]:
        """Becomes the value when all that was put so far is on disk."""
        return self.commits.pending.promise(value)

    @property
    def next(self) -> int:
        """`seq` of the event to come."""
        return self.state.seq + 1

    def append(self, row: EventRow) -> None:
        """row: its `seq` is `next`."""
        self.state.seq = row.seq
        self._batch.events.append(row)
        self.commits.wake()

    def put_job(self, job: Job, *, known: Job | None) -> None:
        """known: as it was in the state, None where it was not."""
        self.state.put(job, known=known)
        self._batch.jobs[job.id] = job

    def put_worker(self, worker: Worker) -> None:
        self.state.put_worker(worker)
        self._batch.workers[worker.id] = worker

    def drop_worker(self, id: WorkerId) -> None:
        self.state.drop_worker(id)
        self._batch.workers[id] = None

    def put_node(self, id: str, node: Node | None) -> None:
        """None: nothing is against it any more."""
        self.state.put_node(id, node)
        self._batch.nodes[id] = node

    def put_allocation(self, allocation: Allocation) -> None:
        self.state.put_allocation(allocation)
        self._batch.allocations[allocation.id] = allocation

    def put_switch(self, switch: Switch) -> None:
        self.state.switches[switch.cluster] = switch
        self._batch.switches[switch.cluster] = switch

    def put_unreachable(self, clusters: frozenset[str]) -> None:
        self.state.unreachable = clusters
        self._batch.unreachable = clusters

    def put_published(self, seq: int) -> None:
        """Stored with the next commit; it causes none."""
        self.state.published = max(self.state.published, seq)
        self._batch.published = self.state.published

    @property
    def _batch(self) -> Batch:
        return self.commits.pending.batch

    def _stored(self, batch: Batch) -> None:
        for job in batch.jobs.values():
            if job.state.is_final:
                self.state.evict(job)
        self._committed()

    async def _reload(self) -> None:
        """Begin anew from what the disk has."""
        published = self.state.published
        self.state = State(await self._disk.load())
        self.state.published = max(self.state.published, published)

    async def _probe(self) -> None:
        await self._disk.commit(Batch(published=self.state.published))
