"""Nodes on which job after job fails get no work for a while, also after a restart."""

import asyncio
from pathlib import Path

import pytest

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.bus import RefusedError
from relaymd.bus.operating import ReleaseWorker
from relaymd.core.ids import WorkerId
from relaymd.core.outcome import Outcome
from relaymd.core.resources import ProviderKind
from tests.actors.cloud import Cloud
from tests.actors.clouds import look, over
from tests.actors.office import Office, opened
from tests.actors.peers import WorkerPeer

UNFIT = Outcome.NODE_UNFIT


async def spoil(office: Office, worker: WorkerPeer, *jobs: str, slot: int = 0) -> None:
    """Let these jobs find the worker's node unfit, one after another."""
    for job in jobs:
        await office.operator.submit(job)
        given = await worker.begin(slot)
        await worker.fail(given, UNFIT, "there is no CUDA")


async def release(office: Office, worker: str = "w1") -> m.Done:
    wanted = ReleaseWorker(worker=WorkerId(worker), by="ada")
    return await office.operator.bus.ask(contract.RELEASE_WORKER, wanted)


async def test_a_node_that_fails_job_after_job_does_not_empty_the_queue(office: Office) -> None:
    bad, good = office.worker("w1", "i1"), office.worker("w2", "i2")
    await bad.register(host="bad")
    await spoil(office, bad, "j1", "j2")
    assert await bad.ask(wait=0.1) == m.NoWork()

    await good.register(host="good")
    office.clock.advance(10)
    assert {(await good.begin()).job for _ in range(1)} <= {"j1", "j2"}


async def test_every_worker_of_the_node_gets_nothing(office: Office) -> None:
    first, second = office.worker("w1", "i1"), office.worker("w2", "i2")
    await first.register(host="bad")
    await second.register(host="bad")
    await spoil(office, first, "j1", "j2")
    assert await second.ask(wait=0.1) == m.NoWork()


async def test_a_person_sees_who_is_in_quarantine_and_why_a_job_waits(office: Office) -> None:
    worker = office.worker()
    await worker.register(host="bad")
    await spoil(office, worker, "j1", "j2")
    (view,) = await office.operator.workers()
    assert view.quarantine is not None
    assert view.quarantine.until == office.clock.wall() + 60
    assert "there is no CUDA" in view.quarantine.reason
    await office.operator.submit("j3")
    waiting = (await office.operator.details("j3")).view.why_waiting
    assert waiting == "every worker that fits is in quarantine; `relaymd workers` says why"


async def test_an_allocation_is_asked_for_away_from_who_is_in_quarantine(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        worker = office.worker()
        await worker.register(host="bad", cluster="north")
        await spoil(office, worker, "j1", "j2")
        await office.operator.submit("j3")
        await look(office)
        assert {one.avoid for one in office.ledger.allocations.values()} == {("bad",)}


async def test_it_ends_by_itself_and_a_job_that_works_wipes_it_out(office: Office) -> None:
    worker = office.worker()
    await worker.register(host="bad")
    await spoil(office, worker, "j1", "j2")
    office.clock.advance(61)
    await worker.beat()
    await worker.complete(await worker.begin())
    assert office.ledger.quarantine(office.ledger.workers[worker.id]) is None
    await spoil(office, worker, "j3")
    assert office.ledger.quarantine(office.ledger.workers[worker.id]) is None


async def test_an_operator_ends_it_at_once(office: Office) -> None:
    worker = office.worker()
    await worker.register(host="bad")
    await spoil(office, worker, "j1", "j2")
    await office.operator.submit("j3")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(worker.work())
        await release(office)
    assert asking.result().job == "j3"


async def test_who_is_not_there_cannot_be_released(office: Office) -> None:
    with pytest.raises(RefusedError, match="there is no worker w9"):
        await release(office, "w9")


async def test_a_restart_forgets_nothing_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "relaymd.db") as office:
        worker = office.worker()
        await worker.register(host="bad")
        await spoil(office, worker, "j1", "j2")
    async with opened(tmp_path / "relaymd.db") as office:
        assert office.ledger.quarantine(office.ledger.workers[WorkerId("w1")]) is not None
        await release(office)
    async with opened(tmp_path / "relaymd.db") as office:
        assert office.ledger.quarantine(office.ledger.workers[WorkerId("w1")]) is None


async def test_it_is_told_once_when_it_begins_and_when_it_is_ended(office: Office) -> None:
    worker = office.worker()
    await worker.register(host="bad", slots=3)
    await office.operator.submit("j3")
    third = await worker.begin(2)
    await spoil(office, worker, "j1", "j2")
    await worker.fail(third, UNFIT, "there is no CUDA")
    await release(office)
    rows = await office.ledger.archive.events_after(0, limit=100)
    kinds = [row.kind for row in rows if row.worker == "w1"]
    assert kinds.count("quarantined") == kinds.count("released") == 1


async def test_a_worker_on_an_allocation_leaves_when_nothing_runs_there(office: Office) -> None:
    worker = office.worker()
    await worker.register(host="bad", slots=2, provider=ProviderKind.SLURM)
    await office.operator.submit("long")
    long = await worker.begin(1)
    await spoil(office, worker, "j1", "j2")
    assert await worker.ask(wait=0.1) == m.NoWork(), "what runs there is not disturbed"
    await worker.complete(long)
    assert await worker.ask(wait=5) == m.NoWork(leave=True)
