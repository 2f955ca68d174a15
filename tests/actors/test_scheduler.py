"""Asks, and who is given what: one lease a job, one job a slot."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest

from relaymd.bus import messages as m
from relaymd.bus.bus import RefusedError
from relaymd.bus.messages import Standing
from relaymd.core.job import JobState
from relaymd.core.outcome import Outcome
from relaymd.core.resources import Gpu, Requirements
from tests.actors.office import Office, opened, turns, until


async def test_a_waiting_ask_is_answered_when_a_job_is_submitted(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(worker.work())
        await turns()
        await office.operator.submit()

    assert (asking.result().job, asking.result().epoch) == ("j1", 1)


async def test_an_ask_without_work_ends_with_its_wait(office: Office) -> None:
    worker = office.worker()
    await worker.register()

    assert await worker.ask(wait=0.01) == m.NoWork()


@pytest.mark.parametrize("wait", [0.0, -1.0, -1e300])
async def test_an_ask_that_cannot_wait_is_answered_at_once(office: Office, wait: float) -> None:
    worker = office.worker()
    await worker.register()

    assert await asyncio.wait_for(worker.ask(wait=wait), 2) == m.NoWork()


async def test_two_workers_that_ask_at_once_never_get_the_same_job(office: Office) -> None:
    workers = [office.worker(f"w{n}", f"i{n}") for n in range(20)]
    for worker in workers:
        await worker.register()
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(worker.ask(wait=0.3)) for worker in workers]
        for n in range(10):
            await office.operator.submit(f"j{n}")
    found = [task.result() for task in asking]

    jobs = [it.job for it in found if isinstance(it, m.Assignment)]
    assert sorted(jobs) == sorted(f"j{n}" for n in range(10))


async def test_a_slot_with_a_live_lease_gets_no_second_job_also_while_it_hands_over(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit("j1")
    await office.operator.submit("j2")
    it = await worker.begin()
    await worker.draining(it)

    assert await worker.ask(wait=0.05) == m.NoWork()
    assert (await office.operator.show("j2")).state is JobState.QUEUED


async def test_each_slot_of_a_worker_gets_a_job_of_its_own(office: Office) -> None:
    worker = office.worker()
    await worker.register(slots=2, gpus=(Gpu(model="a"), Gpu(model="b")))
    need = Requirements(gpus=1)
    await office.operator.submit("j1", requirements=need)
    await office.operator.submit("j2", requirements=need)

    assert {(await worker.begin(0)).job, (await worker.begin(1)).job} == {"j1", "j2"}


async def test_an_assignment_whose_answer_was_lost_is_handed_out_again(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    first = await worker.work()

    assert await worker.work() == first


async def test_a_second_ask_of_a_slot_takes_the_place_of_the_first(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    async with asyncio.TaskGroup() as group:
        older = group.create_task(worker.ask())
        await turns()
        newer = group.create_task(worker.ask())
        await turns()
        await office.operator.submit()

    assert older.result() == m.NoWork()
    assert isinstance(newer.result(), m.Assignment)


async def test_a_lease_its_worker_no_longer_knows_of_is_ended_when_the_slot_asks(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(worker.work())
        await turns()
        office.clock.advance(1)
        await worker.beat(it)
        office.tick("scheduler")
        await turns()
        assert not asking.done(), "it is listed: its report may be on its way"
        await worker.beat()
        office.tick("scheduler")

    assert (asking.result().job, asking.result().epoch) == ("j1", it.epoch + 1)


async def test_a_leaving_worker_is_told_not_to_ask_again(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(worker.ask())
        await turns()
        await worker.drains()
        office.tick("scheduler")

    assert asking.result() == m.NoWork(leave=True)
    await office.operator.submit()
    assert await worker.ask() == m.NoWork(leave=True)


@pytest.mark.parametrize("slot", [-1, 1, 10**30])
async def test_a_slot_that_is_not_there_is_refused(office: Office, slot: int) -> None:
    worker = office.worker()
    await worker.register()

    with pytest.raises(RefusedError, match="has no slot"):
        await worker.ask(slot)


async def test_an_unregistered_worker_is_told_to_register(office: Office) -> None:
    with pytest.raises(RefusedError) as caught:
        await office.worker().ask()

    assert caught.value.refusal.error is m.RefusalCode.UNKNOWN_WORKER


async def test_the_ask_of_a_worker_that_left_is_refused(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_refused(worker.ask()))
        await turns()
        await worker.leave()
        office.tick("scheduler")

    assert asking.result() is m.RefusalCode.UNKNOWN_WORKER


async def test_a_job_that_backs_off_waits_and_then_runs(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    await worker.fail(it, Outcome.ENGINE_FAILED)
    waiting = (await office.operator.details()).view.why_waiting

    assert waiting is not None
    assert waiting.startswith("it is tried again in 5 s")
    assert await worker.ask(wait=0.02) == m.NoWork()
    office.clock.advance(5.1)
    office.tick("scheduler")
    assert (await worker.work()).epoch == 2


async def test_a_disconnected_worker_gets_no_job_until_it_is_heard_again(office: Office) -> None:
    near, far = office.worker("w1"), office.worker("w2", "i2")
    await near.register()
    await far.register()
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(near.work())
        await turns()
        office.presence.disconnect(near.id)
        there = group.create_task(far.work())
        await turns()
        await office.operator.submit("j1")
        await until(there.done)
        assert not gone.done()
        await office.operator.submit("j2")
        await near.beat()
        office.tick("scheduler")

    assert (there.result().job, gone.result().job) == ("j1", "j2")


async def test_askers_are_told_when_the_scheduler_crashes_and_may_ask_its_successor(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_refused(worker.ask()))
        await turns()
        await office.crash("scheduler")
        await until(asking.done)

    assert asking.result() is m.RefusalCode.UNAVAILABLE
    assert [*office.asks] == []
    await office.operator.submit()
    assert await worker.start(await worker.work()) is Standing.ACCEPTED


async def test_a_restart_adopts_running_leases_and_restarts_none(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as office:
        worker = office.worker()
        await worker.register()
        await office.operator.submit()
        it = await worker.begin()
        await worker.checkpoint(it)

    async with opened(tmp_path / "db") as office:
        worker = office.worker()
        office.clock.advance(24)  # shorter than a lease lives
        office.tick()
        assert await worker.ask(wait=0.02) == m.NoWork(), "it has the job"
        assert await worker.beat(it) == m.HeartbeatAck(asking=())
        assert await worker.checkpoint(it, 2) is Standing.ACCEPTED
        assert await worker.complete(it) is Standing.ACCEPTED
        assert (await office.operator.show()).generation == 2


async def test_a_job_waits_and_says_why_when_no_worker_fits(office: Office) -> None:
    await office.worker().register()
    await office.operator.submit(requirements=Requirements(gpus=1))

    why = (await office.operator.details()).view.why_waiting
    assert why == "no worker fits: local: it has 0 of the 1 GPUs asked for"


async def _refused(asking: Awaitable[object]) -> m.RefusalCode:
    with pytest.raises(RefusedError) as caught:
        await asking
    return caught.value.refusal.error


async def test_a_job_for_two_gpus_takes_two_slots_until_it_ends(office: Office) -> None:
    worker = office.worker()
    gpus = tuple(Gpu(model="A100", uuid=f"GPU-{n}") for n in range(3))
    await worker.register(gpus=gpus, slots=3)
    await office.operator.submit("wide", requirements=Requirements(gpus=2))
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(worker.ask(slot, wait=0.3)) for slot in (0, 1)]
    answers = [task.result() for task in asking]
    (given,) = (answer for answer in answers if isinstance(answer, m.Assignment))
    assert (given.job, given.slots) == ("wide", (0, 1))

    assert await worker.start(given) is Standing.ACCEPTED
    await office.operator.submit("narrow", requirements=Requirements(gpus=1))
    await worker.beat(given)
    assert await worker.ask(1, wait=0.1) == m.NoWork(), "the wide job has its device"
    narrow = await worker.work(2)
    assert (narrow.job, narrow.slots) == ("narrow", ())

    await worker.complete(given)
    await office.operator.submit("next", requirements=Requirements(gpus=1))
    assert (await worker.work(1)).job == "next"


async def test_a_slot_that_belongs_to_an_assignment_is_not_answered_with_it(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register(gpus=(Gpu(model="A"), Gpu(model="B")), slots=2)
    await office.operator.submit("wide", requirements=Requirements(gpus=2))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(worker.ask(0, wait=0.3))
        group.create_task(worker.ask(1, wait=0.3))
    assert isinstance(first.result(), m.Assignment)
    assert await worker.ask(1, wait=0.1) == m.NoWork()
    assert isinstance(await worker.ask(0, wait=0.1), m.Assignment), "its answer may be lost"
