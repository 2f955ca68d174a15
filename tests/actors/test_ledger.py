"""What the ledger promises, and that it costs the same however much it holds."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relaymd.actors.archive import UnknownJobError
from relaymd.actors.database import open_database
from relaymd.actors.disk import Batch
from relaymd.actors.inline import open_inline
from relaymd.actors.ledger import Ledger
from relaymd.core.events import Assigned, CancelRequested, Completed, Requeued, Started
from relaymd.core.ids import Epoch, JobId, UnixTime, WorkerId
from relaymd.core.job import Bundle, IllegalTransitionError, Job, JobState, StaleLeaseError
from relaymd.core.lease import Lease
from relaymd.core.scheduling import assign
from tests.actors.disks import FailingDisk
from tests.actors.office import Clock, opened

MANY = 100_000


def job(number: int = 1) -> Job:
    at = UnixTime(float(number))
    bundle = Bundle(key="k", digest="d", size=1)
    return Job(id=JobId(f"j{number}"), title="t", bundle=bundle, submitted_at=at, queued_at=at)


def lease(epoch: int = 1) -> Lease:
    return Lease(epoch=Epoch(epoch), worker=WorkerId("w1"), granted_at=UnixTime(0.0))


@asynccontextmanager
async def ledger(path: Path) -> AsyncGenerator[Ledger]:
    async with open_database(path) as disk, Ledger.open(disk, wall=Clock().wall) as opened:
        yield opened


async def test_records_of_one_moment_share_a_transaction(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db") as tables:
        disk = FailingDisk(tables)
        async with Ledger.open(disk, wall=Clock().wall) as books, asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(books.add(job(number)))
        assert disk.commits < 20


async def test_what_is_recorded_within_the_context_is_on_disk_at_its_end(tmp_path: Path) -> None:
    async with ledger(tmp_path / "db") as books:
        await books.add(job())
        books.record(JobId("j1"), CancelRequested())  # nobody waits for it

    async with ledger(tmp_path / "db") as books:
        assert (await books.archive.fetch(JobId("j1"))).state is JobState.CANCELLED


async def test_an_event_that_may_not_be_changes_nothing(tmp_path: Path) -> None:
    async with ledger(tmp_path / "db") as books:
        before = await books.add(job())
        with pytest.raises(IllegalTransitionError):
            books.record(before.id, Requeued())
        with pytest.raises(StaleLeaseError):
            books.record(before.id, Completed(epoch=Epoch(1)))
        with pytest.raises(UnknownJobError):
            books.record(JobId("j9"), Requeued())

        assert books.jobs[before.id] == before
        assert books.last_event == 1


async def test_a_double_claim_is_impossible(tmp_path: Path) -> None:
    async with ledger(tmp_path / "db") as books:
        await books.add(job())
        books.record(JobId("j1"), Assigned(lease=lease()))
        with pytest.raises(IllegalTransitionError):
            books.record(JobId("j1"), Assigned(lease=lease(2)))


async def test_a_job_that_ended_leaves_the_memory_and_is_still_known(tmp_path: Path) -> None:
    async with ledger(tmp_path / "db") as books:
        for number in range(100):
            await books.add(job(number))
            await books.record(JobId(f"j{number}"), CancelRequested())

        assert len(books.jobs) == 0
        assert len(books.backlog) == 0
        assert books.counts[JobState.CANCELLED] == 100
        assert (await books.archive.fetch(JobId("j7"))).state is JobState.CANCELLED


async def test_a_job_revived_while_its_end_is_written_stays_in_memory(tmp_path: Path) -> None:
    async with ledger(tmp_path / "db") as books:
        await books.add(job())
        ended = books.record(JobId("j1"), CancelRequested())
        again = books.record(JobId("j1"), Requeued())
        await ended
        await again

        assert books.jobs[JobId("j1")].state is JobState.QUEUED
        assert books.counts[JobState.CANCELLED] == 0


async def test_the_state_read_back_is_the_state_that_was(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as office:
        for n in range(9):
            await office.operator.submit(f"j{n}", priority=n % 3)
        await office.operator.cancel("j4")
        worker = office.worker()
        await worker.register(slots=2)
        await worker.complete(await worker.begin())
        await worker.begin()
        await worker.work(1)
        for cluster in ("north", "south"):
            await office.ledger.put_unreachable(cluster, "no route")
        await office.ledger.put_reachable("south")
        before = office.ledger
        known = (dict(before.jobs), dict(before.workers), before.last_event)
        counts = {state: count for state, count in before.counts.items() if count}
        waiting = {job.id for job in before.backlog}

    async with ledger(tmp_path / "db") as after:
        assert (dict(after.jobs), dict(after.workers), after.last_event) == known
        assert {state: count for state, count in after.counts.items() if count} == counts
        assert {job.id for job in after.backlog} == waiting
        assert after.unreachable == {"north"}


async def test_a_hundred_thousand_waiting_jobs_make_no_record_and_no_assignment_slower() -> None:
    few, many = await seconds_of_work(100), await seconds_of_work(MANY)

    assert many < 5 * few + 0.25


async def seconds_of_work(waiting: int) -> float:
    """Fifty assignments, starts and ends, among so many waiting jobs."""
    jobs = {one.id: one for one in map(job, range(waiting))}
    async with open_inline() as disk:
        await disk.commit(Batch(jobs=jobs))
        async with Ledger.open(disk, wall=Clock().wall) as books:
            begun = time.perf_counter()
            for _ in range(50):
                line = next(iter(books.backlog.lines().values()))
                head = line[0]
                assert assign(books.backlog.lines(), []) == []
                books.record(head.id, Assigned(lease=lease()))
                books.record(head.id, Started(epoch=Epoch(1)))
                await books.record(head.id, Completed(epoch=Epoch(1)))
                assert len([*books.leased()]) == 0
            return time.perf_counter() - begun
