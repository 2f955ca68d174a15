"""A disk that does not take what it must: refused by name, undone, and healed by itself."""

import sqlite3
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from relaymd.actors.database import open_database
from relaymd.bus.bus import RefusedError
from relaymd.bus.messages import Assignment, HeartbeatAck, RefusalCode, Standing
from relaymd.core.job import JobState
from tests.actors.cloud import Cloud
from tests.actors.disks import FailingDisk
from tests.actors.office import Office, Parts, opened, turns, until
from tests.actors.peers import WorkerPeer


@asynccontextmanager
async def failing(path: Path, *clouds: Cloud) -> AsyncGenerator[tuple[Office, FailingDisk]]:
    async with open_database(path / "real.db") as tables:
        disk = FailingDisk(tables)
        async with opened(path / "unused.db", Parts(disk=disk, providers=clouds)) as office:
            yield office, disk


async def refused(asking: Awaitable[object]) -> RefusalCode:
    with pytest.raises(RefusedError) as caught:
        await asking
    return caught.value.refusal.error


async def at_work(office: Office) -> tuple[WorkerPeer, Assignment]:
    """A worker that holds the lease of the one job."""
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    return worker, await worker.begin()


async def test_a_submit_the_disk_does_not_take_is_refused_and_as_if_it_never_was(
    tmp_path: Path,
) -> None:
    async with failing(tmp_path) as (office, disk):
        disk.full = True
        assert await refused(office.operator.submit()) is RefusalCode.UNAVAILABLE
        assert await refused(office.operator.submit()) is RefusalCode.UNAVAILABLE
        await until(lambda: not office.ledger.jobs)
        assert await refused(office.operator.show()) is RefusalCode.UNKNOWN_JOB
        disk.full = False
        await until(lambda: not office.ledger.broken)

        assert (await office.operator.submit()).state is JobState.QUEUED
        rows = await office.ledger.archive.events_after(0, limit=10)
        assert [row.seq for row in rows] == [1], "no gap"


async def test_while_the_disk_is_full_questions_are_answered_from_what_it_has(
    tmp_path: Path,
) -> None:
    async with failing(tmp_path) as (office, disk):
        worker, it = await at_work(office)
        disk.full = True
        assert await refused(worker.complete(it)) is RefusalCode.UNAVAILABLE
        await until(lambda: office.ledger.jobs[it.job].state is JobState.RUNNING)

        assert (await office.operator.show()).state is JobState.RUNNING
        assert await worker.beat(it) == HeartbeatAck(asking=()), "nothing is taken from it"
        assert (await office.operator.page()).jobs[0].job.state is JobState.RUNNING
        disk.full = False
        await until(lambda: not office.ledger.broken)
        assert await worker.complete(it) is Standing.ACCEPTED


async def test_a_full_disk_supersedes_nobody_and_forgets_nobody(tmp_path: Path) -> None:
    async with failing(tmp_path) as (office, disk):
        worker, it = await at_work(office)
        disk.full = True
        assert await refused(worker.checkpoint(it)) is RefusalCode.UNAVAILABLE
        assert await refused(worker.leave()) is RefusalCode.UNAVAILABLE
        assert await refused(office.worker("w2", "i2").register()) is RefusalCode.UNAVAILABLE
        assert await office.worker("w2", "i2").beat() == HeartbeatAck(), "it may be known after all"
        assert await worker.beat(it) == HeartbeatAck(asking=())
        office.clock.advance(600)
        office.tick()
        await turns(20)
        disk.full = False
        await until(lambda: not office.ledger.broken)
        await worker.beat(it)
        office.tick()
        await turns(20)
        assert await worker.checkpoint(it) is Standing.ACCEPTED


async def test_a_leaving_that_was_not_stored_leaves_known_when_the_worker_was_heard(
    tmp_path: Path,
) -> None:
    async with failing(tmp_path) as (office, disk):
        worker, it = await at_work(office)
        office.clock.advance(600)
        await worker.beat(it)
        disk.full = True
        assert await refused(worker.leave()) is RefusalCode.UNAVAILABLE
        disk.full = False
        await until(lambda: not office.ledger.broken)
        office.tick("reaper")
        await turns(20)

        assert (await office.operator.show()).state is JobState.RUNNING
        await worker.leave()
        await turns()
        assert (await office.operator.show()).state is JobState.QUEUED
        assert office.presence.heard(worker.id) == office.clock.monotonic() - 600, "forgotten"


async def test_a_commit_that_landed_though_it_was_reported_as_failed_is_found(
    tmp_path: Path,
) -> None:
    async with failing(tmp_path) as (office, disk):
        disk.lies = True
        assert await refused(office.operator.submit()) is RefusalCode.UNAVAILABLE
        await until(lambda: not office.ledger.broken)

        assert (await office.operator.submit()).state is JobState.QUEUED
        assert len(await office.ledger.archive.events_after(0, limit=10)) == 1


async def test_an_unreadable_disk_is_tried_until_it_can_be_read(tmp_path: Path) -> None:
    async with failing(tmp_path) as (office, disk):
        await office.operator.submit()
        disk.full = disk.unreadable = True
        assert await refused(office.operator.submit("j2")) is RefusalCode.UNAVAILABLE
        disk.unreadable = disk.full = False
        await until(lambda: not office.ledger.broken)
        assert [*office.ledger.jobs] == ["j1"]


async def test_a_full_disk_ends_no_actor_however_often_it_comes_back(tmp_path: Path) -> None:
    cloud = Cloud()
    async with failing(tmp_path, cloud) as (office, disk):
        worker = office.worker()
        await worker.register()
        for n in range(8):
            await office.operator.submit(f"j{n}")
            disk.full = True
            office.tick()
            await turns(20)
            with pytest.raises(RefusedError):
                await office.operator.submit(f"x{n}")
            office.tick()
            await turns(20)
            disk.full = False
            await until(lambda: not office.ledger.broken)

        assert [one for one in (await office.operator.status()).actors if one.restarts] == []


async def test_work_that_waited_for_the_disk_goes_on_when_it_is_back(tmp_path: Path) -> None:
    async with failing(tmp_path) as (office, disk):
        worker = office.worker()
        await worker.register()
        await office.operator.submit()
        disk.full = True
        assert await refused(worker.ask()) is RefusalCode.UNAVAILABLE
        disk.full = False
        await until(lambda: not office.ledger.broken)
        assert (await worker.begin()).epoch == 1


@pytest.fixture
def small(tmp_path: Path) -> Generator[Path]:
    """A file system of half a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_real_full_disk_is_refused_by_name_and_loses_nothing(small: Path) -> None:
    acknowledged: list[str] = []
    async with opened(small / "db") as office:
        with pytest.raises(RefusedError, match="full") as caught:
            await fill(office, acknowledged)
        assert caught.value.refusal.error is RefusalCode.UNAVAILABLE

    with closing(sqlite3.connect(f"file:{small / 'db'}?mode=ro", uri=True)) as file:
        found = [id for (id,) in file.execute("SELECT id FROM jobs")]
    assert len(acknowledged) > 10
    assert sorted(found) == sorted(acknowledged)


async def fill(office: Office, acknowledged: list[str]) -> None:
    for n in range(2000):
        await office.operator.submit(f"j{n}", command="x" * 2000)
        acknowledged.append(f"j{n}")
