"""The orchestrator's state in memory, indexed so that no question takes longer with more jobs."""

from collections import Counter
from collections.abc import Iterator, Mapping

from relaymd.actors.disk import Snapshot
from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.backlog import Backlog
from relaymd.core.ids import AllocationId, JobId, UnixTime, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.quarantine import Node, Quarantine, hosts_in_quarantine, quarantine
from relaymd.core.resources import Seat
from relaymd.core.worker import Worker, node_of, seats

_NONE: Mapping[JobId, Job] = {}


class State:
    """Jobs that are not final, workers, allocations. Only the ledger changes it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.jobs: dict[JobId, Job] = {}
        self.backlog = Backlog()
        self.counts: Counter[JobState] = Counter()
        self.workers: dict[WorkerId, Worker] = {}
        self.allocations: dict[AllocationId, Allocation] = {}
        self.nodes: dict[str, Node] = {node.id: node for node in snapshot.nodes}
        self.switches = {each.cluster: each for each in snapshot.switches}
        self.unreachable = snapshot.unreachable
        self.seq = snapshot.seq
        self.published = snapshot.published
        self._seats: dict[WorkerId, tuple[Seat, ...]] = {}
        self._held: dict[WorkerId, dict[JobId, Job]] = {}
        self._by_allocation: dict[AllocationId, WorkerId] = {}
        self._homes: dict[WorkerId, AllocationId] = {}
        self._places: dict[tuple[str, str], WorkerId] = {}
        """Workers by the provider's name for where they run, who were told no allocation."""

        self._joined: set[AllocationId] = set()
        for job in snapshot.jobs:
            self.put(job, known=None)
        self.counts = Counter(snapshot.counts)
        for allocation in snapshot.allocations:
            self.put_allocation(allocation)
        for worker in snapshot.workers:
            self.put_worker(worker)

    def put(self, job: Job, *, known: Job | None) -> None:
        """Take note of the job as it is now. known: as it was, None if it is new."""
        if known is not None:
            self.counts[known.state] -= 1
            self._release(known)
        self.counts[job.state] += 1
        self.jobs[job.id] = job
        self.backlog.put(job)
        if job.lease is not None:
            self._held.setdefault(job.lease.worker, {})[job.id] = job

    def evict(self, job: Job) -> None:
        """Let go of a final job, which is on disk, unless it has changed since."""
        if self.jobs.get(job.id) is job:
            del self.jobs[job.id]

    def held_by(self, worker: WorkerId) -> Mapping[JobId, Job]:
        """The jobs whose live lease is this worker's."""
        return self._held.get(worker, _NONE)

    def leased(self) -> Iterator[Job]:
        for jobs in self._held.values():
            yield from jobs.values()

    def put_worker(self, worker: Worker) -> None:
        self.drop_worker(worker.id)
        self.workers[worker.id] = worker
        self._seats[worker.id] = tuple(seats(worker))
        if worker.allocation is not None:
            self._settle(worker.id, worker.allocation)
        elif worker.external:
            self._places[worker.cluster, worker.external] = worker.id
            for allocation in self.allocations.values():
                self._match(allocation)

    def drop_worker(self, id: WorkerId) -> None:
        worker = self.workers.pop(id, None)
        self._seats.pop(id, None)
        if worker is None:
            return
        if self._places.get(place := (worker.cluster, worker.external)) == id:
            del self._places[place]
        allocation = self._homes.pop(id, None)
        if allocation is not None and self._by_allocation.get(allocation) == id:
            del self._by_allocation[allocation]

    def seats_of(self, worker: WorkerId) -> tuple[Seat, ...]:
        """The slots of a registered worker, by their number."""
        return self._seats[worker]

    def worker_of(self, allocation: AllocationId) -> Worker | None:
        id = self._by_allocation.get(allocation)
        return self.workers[id] if id is not None else None

    def allocation_of(self, worker: WorkerId) -> AllocationId | None:
        """The one it was told, or the one that its provider knows under the same name."""
        return self._homes.get(worker)

    def _match(self, allocation: Allocation) -> None:
        """Find the worker that only knows where it runs."""
        worker = self._places.get((allocation.cluster, allocation.external))
        if worker is not None and self._homes.get(worker) != allocation.id:
            self._settle(worker, allocation.id)

    def _settle(self, worker: WorkerId, allocation: AllocationId) -> None:
        self._homes[worker] = allocation
        self._by_allocation[allocation] = worker
        if allocation in self.allocations:
            self._joined.add(allocation)

    def has_joined(self, allocation: AllocationId) -> bool:
        return allocation in self._joined

    def put_node(self, id: str, node: Node | None) -> None:
        """None: nothing is against it any more."""
        if node is None:
            self.nodes.pop(id, None)
        else:
            self.nodes[id] = node

    def quarantine(self, node: str, now: UnixTime) -> Quarantine | None:
        """Whether the node gets no work just now."""
        if node not in self.nodes:
            return None
        return quarantine(node, self.nodes, self._present(), now=now)

    def hosts_in_quarantine(self, cluster: str, now: UnixTime) -> tuple[str, ...]:
        return hosts_in_quarantine(cluster, self.nodes, self._present(), now=now)

    def _present(self) -> set[str]:
        """The nodes that have a worker."""
        return {node_of(worker) for worker in self.workers.values()}

    def put_allocation(self, allocation: Allocation) -> None:
        if allocation.state is AllocationState.ENDED:
            self.allocations.pop(allocation.id, None)
            self._joined.discard(allocation.id)
        else:
            self.allocations[allocation.id] = allocation
            self._match(allocation)

    def _release(self, job: Job) -> None:
        if job.lease is None:
            return
        held = self._held.get(job.lease.worker, {})
        held.pop(job.id, None)
        if not held:
            self._held.pop(job.lease.worker, None)
