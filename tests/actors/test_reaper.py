"""Silence becomes requeues, and nothing else does."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.broker import Parcel
from relaymd.bus.messages import Standing
from relaymd.core.allocation import Sighting, Whereabouts
from relaymd.core.ids import AllocationId, InstanceId
from relaymd.core.job import JobState
from relaymd.core.reaping import LivenessPolicy
from relaymd.core.worker import WorkerLost
from tests.actors.office import Office, Parts, opened, turns, until
from tests.actors.peers import WorkerPeer


async def running(office: Office, **said: object) -> tuple[WorkerPeer, m.Assignment]:
    worker = office.worker()
    await worker.register(**said)
    await office.operator.submit()
    return worker, await worker.begin()


async def sweep(office: Office) -> None:
    """Let the reaper look, probe, and look again."""
    for _ in range(3):
        office.tick("reaper")
        await turns(20)
    await office.ledger.settled(None)


@asynccontextmanager
async def answering(
    worker: WorkerPeer, instance: str = "i1", log: list[object] | None = None
) -> AsyncGenerator[None]:
    """The worker's process, which answers pings and is told to stop."""

    def pong(message: m.Ping) -> m.Pong:
        return m.Pong(instance=InstanceId(instance))

    def stop(message: m.StopJob) -> m.Done:
        (log if log is not None else []).append(message)
        return m.Done()

    ping = contract.PING.answered_by(pong, worker=worker.id)
    told = contract.STOP.answered_by(stop, worker=worker.id)
    async with worker.bus.serve("w", ping, told) as inbox, asyncio.TaskGroup() as group:

        async def serve() -> None:
            while True:
                group.create_task((await inbox.get()).handle())

        serving = group.create_task(serve())
        try:
            yield
        finally:
            serving.cancel()


async def test_a_worker_silent_for_longer_than_its_lease_lives_is_dead_and_its_job_queued(
    office: Office,
) -> None:
    worker, it = await running(office)
    await worker.checkpoint(it)
    office.clock.advance(25.1)
    await sweep(office)

    job = await office.operator.show()
    assert (job.state, job.generation) == (JobState.QUEUED, 1)
    assert await office.operator.workers() == []
    kinds = [fact.kind for fact in await office.ledger.archive.events_after(0, limit=100)]
    assert kinds[-2:] == ["interrupted", "lost"], "first the lease, then the worker"


async def test_a_worker_heard_within_the_time_to_live_keeps_its_job(office: Office) -> None:
    _, it = await running(office)
    office.clock.advance(24)
    await sweep(office)

    assert (await office.operator.show()).epoch == it.epoch
    assert (await office.operator.show()).state is JobState.RUNNING


async def test_any_message_counts_as_a_sign_of_life(office: Office) -> None:
    worker, it = await running(office)
    for generation in range(1, 6):
        office.clock.advance(20)
        await worker.checkpoint(it, generation)
        await sweep(office)

    assert (await office.operator.show()).state is JobState.RUNNING


async def test_unknown_is_not_dead(office: Office) -> None:
    worker, _ = await running(office, allocation="a1")
    office.sightings.note({AllocationId("a1"): Sighting(where=Whereabouts.UNKNOWN)})
    office.clock.advance(24)
    await sweep(office)
    assert (await office.operator.show()).state is JobState.RUNNING

    office.sightings.note({AllocationId("a1"): Sighting(where=Whereabouts.GONE)})
    await sweep(office)
    job = await office.operator.show()
    assert job.state is JobState.QUEUED
    assert job.end is not None
    assert job.end.reason == f"worker {worker.id} was lost: its process is gone"


async def test_a_closed_connection_that_stays_closed_is_death_after_its_grace(
    office: Office,
) -> None:
    worker, _ = await running(office)
    office.presence.disconnect(worker.id)
    office.clock.advance(2.9)
    await sweep(office)
    assert (await office.operator.show()).state is JobState.RUNNING
    office.clock.advance(0.2)
    await sweep(office)
    assert (await office.operator.show()).state is JobState.QUEUED


async def test_a_worker_that_hung_up_and_is_not_there_loses_its_job_sooner(office: Office) -> None:
    worker, _ = await running(office)
    office.presence.disconnect(worker.id, hung_up=True)
    office.clock.advance(0.9)
    await sweep(office)
    office.clock.advance(0.9)
    assert (await office.operator.show()).state is JobState.RUNNING
    await sweep(office)
    assert (await office.operator.show()).state is JobState.QUEUED


async def test_a_worker_that_hung_up_and_came_back_keeps_its_job(office: Office) -> None:
    worker, _ = await running(office)
    office.presence.disconnect(worker.id, hung_up=True)
    async with answering(worker):
        office.clock.advance(1.8)
        await sweep(office)
        await sweep(office)
        assert not office.presence.is_disconnected(worker.id)
        assert (await office.operator.show()).state is JobState.RUNNING


async def test_a_suspect_that_answers_a_probe_lives(office: Office) -> None:
    worker, _ = await running(office)
    async with answering(worker):
        office.presence.disconnect(worker.id)
        await sweep(office)
        office.clock.advance(13)
        await sweep(office)
        office.clock.advance(13)
        await sweep(office)

    assert (await office.operator.show()).state is JobState.RUNNING


async def test_a_probe_answered_by_another_instance_is_no_sign_of_life(office: Office) -> None:
    worker, _ = await running(office)
    async with answering(worker, instance="i9"):
        office.clock.advance(13)
        await sweep(office)
        office.clock.advance(13)
        await sweep(office)

    assert (await office.operator.show()).state is JobState.QUEUED


async def test_nobody_answering_a_probe_is_a_closed_connection_and_no_more(
    office: Office,
) -> None:
    worker, _ = await running(office)
    office.clock.advance(13)
    await sweep(office)

    assert office.presence.is_disconnected(worker.id)
    assert (await office.operator.show()).state is JobState.RUNNING


async def test_the_first_sweep_after_an_outage_of_the_orchestrator_requeues_nothing(
    tmp_path: Path,
) -> None:
    parts = Parts()
    async with opened(tmp_path / "db", parts) as office:
        _, it = await running(office)
        await office.operator.submit("j2")
        await office.worker("w2", "i2").register()
        unconfirmed = await office.worker("w2", "i2").work()

    parts.clock.advance(3600)
    async with opened(tmp_path / "db", parts) as office:
        await sweep(office)
        assert (await office.operator.show()).state is JobState.RUNNING
        assert await office.worker().beat(it) == m.HeartbeatAck(asking=())
        assert await office.worker("w2", "i2").start(unconfirmed) is Standing.ACCEPTED


async def test_while_our_own_connection_is_down_nobody_is_silent(tmp_path: Path) -> None:
    connected = True
    async with opened(tmp_path / "db", Parts(reachable=lambda: connected)) as office:
        worker, it = await running(office)
        await office.operator.submit("j2")
        await office.worker("w2", "i2").register()
        unconfirmed = await office.worker("w2", "i2").work()
        connected = False
        for _ in range(5):
            office.clock.advance(60)
            await sweep(office)
        connected = True
        await sweep(office)
        office.clock.advance(9)
        await sweep(office)

        assert await worker.complete(it) is Standing.ACCEPTED
        assert await office.worker("w2", "i2").start(unconfirmed) is Standing.ACCEPTED


async def test_after_our_own_process_stood_still_nobody_is_silent(tmp_path: Path) -> None:
    policy = LivenessPolicy(heartbeat_every=0.05)
    async with opened(tmp_path / "relaymd.db", Parts(policy=policy)) as office:
        await running(office)
        time.sleep(1.3)  # noqa: ASYNC251 - that the loop stands still is what is tested
        office.clock.advance(600.0)
        await sweep(office)
        assert (await office.operator.show()).state is JobState.RUNNING
        office.clock.advance(600.0)
        await sweep(office)
        assert (await office.operator.show()).state is JobState.QUEUED


async def test_an_assignment_nobody_confirms_goes_to_somebody_else_and_costs_nothing(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    lost = await worker.work()
    await sweep(office)
    office.clock.advance(10.1)
    await worker.beat()
    await sweep(office)

    job = await office.operator.show()
    assert (job.state, job.charges) == (JobState.QUEUED, {})
    assert await worker.start(lost) is Standing.SUPERSEDED
    assert (await worker.begin()).epoch == lost.epoch + 1


async def test_a_wall_clock_that_steps_revokes_nothing(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.work()
    await sweep(office)
    steady = office.clock.now
    office.presence.clock = lambda: type(office.clock.monotonic())(steady)
    office.clock.advance(86_400)
    await sweep(office)

    assert await worker.start(it) is Standing.ACCEPTED


async def test_a_lease_of_a_worker_that_is_not_registered_is_revoked(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as office:
        _, it = await running(office)
        # As a sweep would leave it that forgot first and died before it ended the lease.
        office.ledger.forget(office.worker().id, WorkerLost(reason="x"))
        await sweep(office)

        job = await office.operator.show()
        assert (job.state, job.epoch) == (JobState.QUEUED, it.epoch)


async def test_whoever_still_believes_in_a_revoked_lease_is_told_at_once(office: Office) -> None:
    worker, it = await running(office)
    told: list[object] = []
    async with answering(worker, instance="i9", log=told):
        office.clock.advance(26)
        await sweep(office)
        await until(lambda: told)

    assert told == [
        m.StopJob(worker=worker.id, job=it.job, epoch=it.epoch, standing=Standing.SUPERSEDED)
    ]


@pytest.mark.parametrize("state", ["assigned", "running", "draining", "cancelling"])
async def test_every_state_with_a_lease_has_its_way_back_when_its_worker_dies(
    office: Office, state: str
) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.work()
    if state != "assigned":
        await worker.start(it)
    if state == "draining":
        await worker.draining(it)
    if state == "cancelling":
        await office.operator.cancel()
    assert (await office.operator.show()).state == state
    office.clock.advance(60)
    await sweep(office)

    expected = JobState.CANCELLED if state == "cancelling" else JobState.QUEUED
    assert (await office.operator.show()).state is expected


async def test_a_worker_that_registers_again_during_a_sweep_is_not_forgotten(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register()
    office.clock.advance(60)
    async with asyncio.TaskGroup() as group:
        office.tick("reaper")
        group.create_task(worker.register())
    await sweep(office)
    if not (await worker.beat()).known:
        await worker.register()
    await sweep(office)

    assert [view.worker.id for view in await office.operator.workers()] == [worker.id]


async def test_a_new_life_is_not_disconnected_by_the_probe_of_the_last(office: Office) -> None:
    held: list[Callable[[], None]] = []
    broker = office.parts.broker
    through = broker.link

    def hold(parcel: Parcel, deliver: Callable[[], None]) -> None:
        if parcel.subject == "relaymd.control.w1.ping":
            held.append(deliver)
        else:
            through(parcel, deliver)

    await office.worker("w1", "i1").register()
    broker.link = hold
    office.clock.advance(13)
    await sweep(office)
    office.clock.advance(1)
    new = office.worker("w1", "i2")
    await new.register()
    broker.link = through
    for deliver in held:
        deliver()
    await turns(20)

    assert held
    assert not office.presence.is_disconnected(new.id)
