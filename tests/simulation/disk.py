"""A ledger's disk in memory: what was committed survives every crash of who wrote it."""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from relaymd.actors.disk import Batch, DiskError, EventRow, Place, Snapshot
from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.ids import AllocationId, JobId, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.quarantine import Node
from relaymd.core.worker import Worker
from tests.simulation.process import WORLD


class ModelDisk:
    """Implements `Disk`. A commit lands somewhere between its begin and its answer.

    watch: sees every batch that lands, and raises when an invariant is broken.
    """

    def __init__(self, rng: Random, watch: Callable[["ModelDisk", Batch], None]) -> None:
        self.jobs: dict[JobId, Job] = {}
        self.workers: dict[WorkerId, Worker] = {}
        self.allocations: dict[AllocationId, Allocation] = {}
        self.nodes: dict[str, Node] = {}
        self.events: list[EventRow] = []
        self.published = 0
        self.failing = False
        """As if it were full."""

        self.lying = False
        """What it says to have failed has landed nevertheless: the worst moment to fail."""

        self._rng = rng
        self._watch = watch
        self._landing = 0

    async def load(self) -> Snapshot:
        await self._pause()
        while self._landing:  # SQLite's lock: who comes next waits for who is writing
            await self._pause()
        return Snapshot(
            jobs=[job for job in self.jobs.values() if not job.state.is_final],
            workers=[*self.workers.values()],
            allocations=[
                allocation
                for allocation in self.allocations.values()
                if allocation.state is not AllocationState.ENDED
            ],
            counts=dict(Counter(job.state for job in self.jobs.values())),
            seq=self.events[-1].seq if self.events else 0,
            published=self.published,
            nodes=[*self.nodes.values()],
        )

    async def commit(self, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        stored = msgspec.structs.replace(batch)
        self._landing += 1
        loop.call_later(self._rng.uniform(0, 0.004), self._land, stored, done, context=WORLD)
        await done

    def _land(self, batch: Batch, done: asyncio.Future[None]) -> None:
        self._landing -= 1
        if self.lying or not self.failing:
            self._apply(batch)
        failed = self.failing or self.lying
        loop = asyncio.get_running_loop()
        loop.call_later(self._rng.uniform(0, 0.004), _answer, done, failed, context=WORLD)

    def _apply(self, batch: Batch) -> None:
        self._watch(self, batch)
        self.events += batch.events
        self.jobs.update(batch.jobs)
        self.allocations.update(batch.allocations)
        for id, worker in batch.workers.items():
            if worker is None:
                self.workers.pop(id, None)
            else:
                self.workers[id] = worker
        for name, node in batch.nodes.items():
            if node is None:
                self.nodes.pop(name, None)
            else:
                self.nodes[name] = node
        self.published = max(self.published, batch.published or 0)

    async def job(self, id: JobId) -> Job | None:
        await self._pause()
        return self.jobs.get(id)

    async def jobs_like(self, prefix: str) -> Sequence[Job]:
        await self._pause()
        return [job for id, job in self.jobs.items() if id.startswith(prefix)][:2]

    async def page(
        self, states: Sequence[JobState], *, limit: int, after: Place | None
    ) -> Sequence[Job]:
        await self._pause()
        found = sorted(
            (job for job in self.jobs.values() if not states or job.state in states),
            key=lambda job: (job.submitted_at, job.id),
            reverse=True,
        )
        if after is not None:
            found = [
                job for job in found if (job.submitted_at, job.id) < (after.submitted_at, after.job)
            ]
        return found[:limit]

    async def latest_of(self, id: JobId, *, limit: int) -> Sequence[bytes]:
        await self._pause()
        return [row.body for row in self.events if row.job == id][-limit:]

    async def milestones_of(self, id: JobId) -> Sequence[bytes]:
        return await self.latest_of(id, limit=10_000)

    async def events_after(self, seq: int, *, limit: int) -> Sequence[EventRow]:
        await self._pause()
        start = bisect_right(self.events, seq, key=lambda row: row.seq)
        return self.events[start : start + limit]

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.uniform(0, 0.002))


def _answer(done: asyncio.Future[None], failed: bool) -> None:
    if done.done():
        return
    if failed:
        done.set_exception(DiskError("the disk is full"))
    else:
        done.set_result(None)
