"""Workers: registered, heard, drained, gone; and who is who when two claim to be one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.advisories import Disconnection
from relaymd.bus.bus import RefusedError
from relaymd.bus.memory import MemoryBus
from relaymd.bus.messages import Standing
from relaymd.core.checkpoint import Progress
from relaymd.core.devices import GpuLoad, Load
from relaymd.core.ids import AllocationId, Epoch, InstanceId, JobId, UnixTime, WorkerId
from relaymd.core.job import JobState
from relaymd.core.resources import Gpu
from tests.actors.office import Office, Parts, opened, turns, until


async def test_a_registration_says_how_often_to_be_heard(office: Office) -> None:
    assert await office.worker().register() == m.Registered(heartbeat_every=5.0, time_to_live=20.0)


async def test_a_registration_repeated_after_a_time_out_makes_one_worker(office: Office) -> None:
    await office.worker().register(allocation="a1", slots=2)
    events = office.ledger.last_event
    await office.worker().register(allocation="a1", slots=2)

    assert len(await office.operator.workers()) == 1
    assert office.ledger.last_event == events


async def test_the_same_allocation_twice_is_the_same_worker_and_no_ghost_stays(
    office: Office,
) -> None:
    first, second = office.worker("w1", "i1"), office.worker("w2", "i2")
    await first.register(allocation="a1")
    await office.operator.submit()
    it = await first.begin()
    await second.register(allocation="a1")

    assert [view.worker.id for view in await office.operator.workers()] == ["w2"]
    assert (await office.operator.show()).state is JobState.QUEUED
    assert await first.complete(it) is Standing.SUPERSEDED
    assert not (await first.beat(it)).known
    with pytest.raises(RefusedError, match="was started anew; this process must end"):
        await first.register(allocation="a1")
    assert (await second.begin()).epoch == it.epoch + 1


async def test_a_worker_started_anew_replaces_itself_and_its_old_process_may_not_return(
    office: Office,
) -> None:
    old, new = office.worker("w1", "i1"), office.worker("w1", "i2")
    await old.register()
    await office.operator.submit()
    it = await old.begin()
    await new.register()

    assert (await office.operator.show()).state is JobState.QUEUED
    assert not (await old.beat(it)).known
    with pytest.raises(RefusedError):
        await old.register()
    assert (await new.beat()).known
    assert (await new.begin()).epoch == it.epoch + 1


async def test_of_many_lives_of_a_worker_none_but_the_last_may_return(office: Office) -> None:
    for life in range(6):
        await office.worker("w1", f"i{life}").register()
    for life in range(5):
        with pytest.raises(RefusedError):
            await office.worker("w1", f"i{life}").register()


async def test_a_register_is_remembered_across_a_restart(tmp_path: Path) -> None:
    gpus = (Gpu(model="NVIDIA A100", vram_gb=80.0),)
    async with opened(tmp_path / "db") as office:
        await office.worker().register(gpus=gpus, host="n1", allocation="a1")
        (before,) = await office.operator.workers()

    async with opened(tmp_path / "db") as office:
        (after,) = await office.operator.workers()
        assert after.worker == before.worker
        events = office.ledger.last_event
        await office.worker().register(gpus=gpus, host="n1", allocation="a1")
        assert office.ledger.last_event == events


async def test_another_protocol_is_refused_by_name(office: Office) -> None:
    with pytest.raises(RefusedError, match="worker w1 speaks protocol 99") as caught:
        await office.worker().register(protocol=99)

    assert caught.value.refusal.error is m.RefusalCode.INCOMPATIBLE


@pytest.mark.parametrize(
    "said",
    [
        {"slots": 0},
        {"slots": -1},
        {"slots": 65},
        {"slots": 10**30},
        {"allocation": "../a"},
        {"gpus": (Gpu(model="x", vram_gb=-1.0),)},
        {"host": "h" * 100_000},
        {"platforms": ("CUDA",) * 100_000},
    ],
    ids=repr,
)
async def test_a_registration_that_cannot_be_true_is_refused(
    office: Office, said: dict[str, object]
) -> None:
    with pytest.raises(RefusedError) as caught:
        await office.worker().register(**said)

    assert caught.value.refusal.error is m.RefusalCode.INVALID
    assert await office.operator.workers() == []


async def test_a_heartbeat_of_a_worker_nobody_knows_asks_it_to_register(office: Office) -> None:
    assert await office.worker().beat() == m.HeartbeatAck(known=False)


async def test_a_heartbeat_of_a_worker_that_does_not_own_the_job_changes_no_progress(
    office: Office,
) -> None:
    owner, stranger = office.worker(), office.worker("w2", "i2")
    await owner.register()
    await stranger.register()
    await office.operator.submit()
    it = await owner.begin()
    await owner.beat(it, progress=Progress(step=5))

    assert await stranger.beat(it, progress=Progress(step=1)) == m.HeartbeatAck(
        superseded=(it.job,), asking=()
    )
    assert (await office.operator.details()).view.progress == Progress(step=5)


async def test_progress_that_is_absent_from_a_heartbeat_is_not_reset(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    await worker.beat(it, progress=Progress(step=5))
    await worker.beat(it)

    assert (await office.operator.details()).view.progress == Progress(step=5)


async def test_progress_of_an_ended_lease_is_not_that_of_the_next(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    await worker.beat(it, progress=Progress(step=5))
    await worker.handoff(it)
    await worker.begin()

    assert (await office.operator.details()).view.progress is None


async def test_what_a_push_may_have_lost_is_said_by_the_next_heartbeat(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    await office.operator.cancel()
    await office.operator.drain()

    assert await worker.beat(it) == m.HeartbeatAck(
        cancelled=(JobId("j1"),), drain="drained by an operator", asking=()
    )


async def test_heartbeats_are_not_written_to_the_disk(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    events = office.ledger.last_event
    for _ in range(20):
        await worker.beat()

    assert office.ledger.last_event == events


async def test_a_heartbeat_that_lists_thousands_of_leases_does_not_hold_up_the_others(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register()
    held = tuple(m.HeldLease(job=JobId(f"j{n}"), epoch=Epoch(1)) for n in range(20_000))
    message = m.Heartbeat(worker=worker.id, instance=worker.instance, leases=held)
    clock = asyncio.get_running_loop().time
    begun = clock()
    ack = await worker.bus.ask(contract.HEARTBEAT, message)

    assert len(ack.superseded) == 20_000
    assert clock() - begun < 2.0


async def test_drains_and_leave_twice_are_once(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await worker.drains()
    events = office.ledger.last_event
    await worker.drains()
    assert office.ledger.last_event == events
    await worker.leave()
    events = office.ledger.last_event
    await worker.leave()
    assert office.ledger.last_event == events
    assert await office.operator.workers() == []


async def test_the_goodbye_of_an_earlier_life_dismisses_nobody(office: Office) -> None:
    await office.worker("w1", "i1").register()
    await office.worker("w1", "i2").register()
    await office.worker("w1", "i1").leave()
    await office.worker("w1", "i1").drains()

    (view,) = await office.operator.workers()
    assert (view.worker.instance, view.worker.leaving) == ("i2", False)


async def test_a_worker_that_leaves_with_a_lease_gives_it_back(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    await worker.checkpoint(it)
    await worker.leave("SIGTERM")

    job = await office.operator.show()
    assert (job.state, job.generation, job.lease) == (JobState.QUEUED, 1, None)


async def test_an_operators_drain_is_pushed_and_twice_is_once(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    pushed: list[m.Drain] = []

    def drain(message: m.Drain) -> m.Done:
        pushed.append(message)
        return m.Done()

    binding = contract.DRAIN.answered_by(drain, worker="w1")
    async with worker.bus.serve("w1", binding) as inbox, asyncio.TaskGroup() as group:
        for _ in range(2):
            await office.operator.drain()
            group.create_task((await inbox.get()).handle())

    assert [push.reason for push in pushed] == ["drained by an operator"] * 2
    facts = await office.ledger.archive.events_after(0, limit=10)
    assert [fact.kind for fact in facts] == ["registered", "draining"]


async def test_a_drain_of_a_worker_nobody_knows_is_refused(office: Office) -> None:
    with pytest.raises(RefusedError) as caught:
        await office.operator.drain("w9")

    assert caught.value.refusal.error is m.RefusalCode.UNKNOWN_WORKER


async def test_a_worker_that_leaves_while_it_is_drained_does_not_come_back_as_a_ghost(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.operator.drain())
        group.create_task(worker.leave())

    assert await office.operator.workers() == []


async def test_a_closed_connection_is_a_hint_and_no_verdict(tmp_path: Path) -> None:
    closed = asyncio.Queue[Disconnection]()

    async def hints() -> AsyncIterator[Disconnection]:
        while True:
            yield await closed.get()

    async with opened(tmp_path / "db", Parts(hints=hints)) as office:
        worker = office.worker()
        await worker.register()
        closed.put_nowait(Disconnection(name="somebody-else", reason="Client Closed"))
        closed.put_nowait(Disconnection(name=worker.id, reason="Stale Connection"))
        await until(lambda: office.presence.is_disconnected(worker.id))
        (view,) = await office.operator.workers()
        assert view.verdict == "suspect"
        await worker.beat()
        (view,) = await office.operator.workers()
        assert view.verdict == "alive"


async def test_a_hint_source_that_ends_is_asked_again(tmp_path: Path) -> None:
    begun: list[int] = []

    async def hints() -> AsyncIterator[Disconnection]:
        begun.append(1)
        if len(begun) > 1:
            await asyncio.Event().wait()
        for nobody in list[Disconnection]():
            yield nobody

    async with opened(tmp_path / "db", Parts(hints=hints)) as office:
        await until(lambda: len(begun) == 2)
        await turns()
        await office.worker().register()


async def test_what_a_worker_said_of_itself_is_shown(office: Office) -> None:
    said = {"cluster": "north", "host": "n1", "pid": 10**30, "deadline": UnixTime(1e300)}
    await office.worker().register(**said)

    (view,) = await office.operator.workers()
    assert {key: getattr(view.worker, key) for key in said} == said


async def test_an_identifier_that_is_none_cannot_register(office: Office) -> None:
    bus = MemoryBus(office.parts.broker)
    for message in (
        m.Register(worker=WorkerId("w1"), instance=InstanceId("i 1")),
        m.Register(worker=WorkerId("w1"), instance=InstanceId("x" * 65)),
        m.Register(worker=WorkerId("w1"), instance=InstanceId("i"), allocation=AllocationId("a.b")),
    ):
        with pytest.raises(RefusedError, match="is not an identifier"):
            await bus.ask(contract.REGISTER, message)


async def test_a_heartbeats_answer_names_the_slots_whose_question_is_open(office: Office) -> None:
    """So that a slot asks again whose question died with an earlier orchestrator."""
    worker = office.worker()
    await worker.register(slots=2)
    assert (await worker.beat()).asking == ()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.ask(slot=1, wait=0.2))
        await until(lambda: office.asks.slots(worker.id) != ())
        assert (await worker.beat()).asking == (1,)
    assert (await worker.beat()).asking == ()


async def test_what_a_machine_is_busy_with_is_shown_and_absent_changes_nothing(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register(cpus=16, memory_gb=64.0)
    load = Load(cpu=0.5, used_gb=12.0, gpus=(GpuLoad(uuid="GPU-1", busy=0.9),) * 100)
    await worker.beat(load=load)
    await worker.beat()
    (view,) = await office.operator.workers()
    assert view.load is not None
    assert (view.load.cpu, view.load.used_gb, len(view.load.gpus)) == (0.5, 12.0, 64)
    assert (view.worker.cpus, view.worker.memory_gb) == (16, 64.0)


async def test_rate_and_time_left_follow_from_what_heartbeats_say(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    given = await worker.begin()
    for step in (0, 100, 200):
        await worker.beat(given, progress=Progress(step=step, total_steps=1000))
        office.clock.advance(10)
    view = (await office.operator.details()).view
    assert view.rate is not None
    assert view.rate.steps == 10.0
    assert view.seconds_left == 70.0, "10 s have passed since it was heard"
    await worker.handoff(given)
    view = (await office.operator.details()).view
    assert (view.rate, view.seconds_left) == (None, None)
