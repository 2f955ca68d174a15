"""A job that ended badly on a node is given to another one, if that brings it anywhere."""

import asyncio
from pathlib import Path

import pytest

from relaymd.bus import messages as m
from relaymd.core.avoiding import PATIENCE
from relaymd.core.job import JobState
from relaymd.core.outcome import Outcome
from tests.actors.office import Office, Parts, opened, turns
from tests.actors.peers import WorkerPeer


async def hosts(office: Office, *names: str) -> list[WorkerPeer]:
    """A worker on each of these machines."""
    found = [office.worker(f"w{number}", f"i{number}") for number, _ in enumerate(names)]
    for worker, host in zip(found, names, strict=True):
        await worker.register(host=host)
    return found


async def fail(office: Office, worker: WorkerPeer, outcome: Outcome = Outcome.NODE_UNFIT) -> None:
    await worker.fail(await worker.begin(), outcome, "there is no CUDA")
    office.clock.advance(10)


async def why(office: Office, job: str = "j1") -> str | None:
    return (await office.operator.details(job)).view.why_waiting


async def test_a_job_that_found_its_node_unfit_goes_to_another_that_is_idle(office: Office) -> None:
    bad, good = await hosts(office, "bad", "good")
    await office.operator.submit("j1")
    await fail(office, bad)
    async with asyncio.TaskGroup() as group:
        back = group.create_task(bad.ask(wait=0.3))
        assert (await good.work()).job == "j1"
    assert back.result() == m.NoWork()


@pytest.fixture
async def waiting(office: Office) -> WorkerPeer:
    """A worker on which j1 ended badly, while the only other node is busy."""
    good, bad = await hosts(office, "good", "bad")
    await office.operator.submit("long")
    await good.begin()
    await office.operator.submit("j1")
    await fail(office, bad)
    return bad


async def test_while_the_other_node_is_busy_it_waits_and_holds_up_nobody(
    office: Office, waiting: WorkerPeer
) -> None:
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(waiting.work())
        await turns()
        said = await why(office)
        await office.operator.submit("j2")
    assert said == "it ended badly on local/bad; it waits 290 s at most for another node"
    assert asking.result().job == "j2"


async def test_it_does_not_wait_for_ever(office: Office, waiting: WorkerPeer) -> None:
    office.clock.advance(PATIENCE - 20)
    assert await waiting.ask(wait=0.1) == m.NoWork()
    office.clock.advance(20)
    assert (await waiting.work()).job == "j1"


async def test_an_engine_that_failed_once_is_tried_again_at_once_and_waits_before_the_last_try(
    office: Office,
) -> None:
    good, bad = await hosts(office, "good", "bad")
    await office.operator.submit("long")
    await good.begin()
    await office.operator.submit("j1")
    await fail(office, bad, Outcome.ENGINE_FAILED)
    await fail(office, bad, Outcome.ENGINE_FAILED)
    office.clock.advance(10)
    assert await bad.ask(wait=0.1) == m.NoWork()
    office.clock.advance(PATIENCE)
    assert (await bad.work()).job == "j1"


async def test_on_the_only_machine_every_try_follows_at_once(office: Office) -> None:
    (only,) = await hosts(office, "only")
    await office.operator.submit("j1")
    for _ in range(3):
        await fail(office, only, Outcome.ENGINE_FAILED)
        office.clock.advance(10)
    job = (await office.operator.details("j1")).view.job
    assert (job.state, job.epoch) == (JobState.FAILED, 3)


async def test_an_orchestrator_that_was_started_again_remembers_who_waits_for_what(
    tmp_path: Path,
) -> None:
    parts = Parts()
    async with opened(tmp_path / "db", parts) as office:
        good, bad = await hosts(office, "good", "bad")
        await office.operator.submit("long")
        await good.begin()
        await office.operator.submit("j1")
        await fail(office, bad)
    async with opened(tmp_path / "db", parts) as office, asyncio.TaskGroup() as group:
        bad = office.worker("w1", "i1")
        asking = group.create_task(bad.ask(wait=0.3))
        await turns()
        said = await why(office)
    assert said == "it ended badly on local/bad; it waits 290 s at most for another node"
    assert asking.result() == m.NoWork()


async def test_where_all_workers_are_of_one_machine_it_goes_on_there(office: Office) -> None:
    first, _ = await hosts(office, "same", "same")
    await office.operator.submit("j1")
    await fail(office, first)
    assert (await first.work()).job == "j1"


async def test_a_node_in_quarantine_is_not_waited_for(office: Office) -> None:
    broken, only = await hosts(office, "broken", "only")
    for job in ("j1", "j2"):
        await office.operator.submit(job)
        await fail(office, broken)
        await only.complete(await only.begin())
    await broken.beat()
    await office.operator.submit("j3")
    await fail(office, only)
    await only.beat()
    assert (await only.work()).job == "j3"
