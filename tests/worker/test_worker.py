"""A worker's life around its jobs: registering, asking, being alone, leaving."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from relaymd.bus import contract
from relaymd.bus.bus import RefusedError
from relaymd.bus.messages import Complete, HeartbeatAck, Ping, RefusalCode, Register, Registered
from relaymd.core.devices import GpuLoad, Load
from relaymd.core.ids import Epoch, JobId, WorkerId
from relaymd.core.resources import Gpu
from relaymd.worker.outbox import Letter, Outbox
from relaymd.worker.session import UnwantedError
from relaymd.worker.tools import Tools
from relaymd.worker.worker import Worker
from tests.engines.verify import problems
from tests.worker.shop import QUICK, Shop

replace = msgspec.structs.replace
LONG = ("--steps", "1000", "--pace", "0.03")


# -- registration and heartbeats ----------------------------------------------------------------


async def test_a_worker_registers_again_as_the_same_instance_and_keeps_its_lease(
    shop: Shop,
) -> None:
    """After a restart of the orchestrator that does not remember it."""
    await shop.submit("--steps", "60", "--pace", "0.03")
    async with shop.worker():
        await shop.desk.until_said("LaunchReport")
        shop.desk.ack = HeartbeatAck(known=False)
        await shop.desk.until_said("Register", 2)
        shop.desk.ack = HeartbeatAck()
        await shop.desk.until_said("Complete")
    assert len({message.instance for message in shop.desk.said("Register")}) == 1
    assert len(shop.desk.said("Start")) == 1


async def test_registration_is_tried_until_somebody_answers(shop: Shop) -> None:
    shop.desk.away = True
    async with shop.worker():
        await asyncio.sleep(0)
        shop.desk.away = False
        await shop.desk.until_said("AskForWork")


async def test_a_worker_that_is_refused_for_good_says_why(shop: Shop) -> None:
    def refuse(_: Register) -> Registered:
        raise RefusedError.because(RefusalCode.INCOMPATIBLE, "protocol 1 is too old")

    shop.desk.register = refuse
    with pytest.raises(UnwantedError, match="too old"):
        await Worker(shop.tools()).run()


async def test_a_ping_is_answered_while_the_engine_runs(shop: Shop) -> None:
    await shop.submit(*LONG)
    async with shop.worker():
        await shop.desk.until_said("LaunchReport")
        pong = await shop.bus.ask(contract.PING, Ping(worker=WorkerId("w-1")))
    assert pong.instance == "i-w-1"


async def test_heartbeats_carry_the_lease_and_its_progress(shop: Shop) -> None:
    job = await shop.submit("--steps", "100", "--pace", "0.03", "--checkpoint-every", "2")

    def told() -> list[float]:
        leases = [lease for beat in shop.desk.said("Heartbeat") for lease in beat.leases]
        return [x.progress.fraction for x in leases if x.job == job and x.progress]

    async with shop.worker():
        await shop.desk.until(lambda: [fraction for fraction in told() if fraction > 0.1])
    assert told() == sorted(told())


async def test_a_superseded_job_in_a_heartbeats_answer_is_dropped(shop: Shop) -> None:
    job = await shop.submit(*LONG)
    async with shop.worker():
        await shop.desk.until_said("LaunchReport")
        shop.desk.ack = HeartbeatAck(superseded=(job,))
        await shop.desk.until_said("AskForWork", 2)
        shop.desk.ack = HeartbeatAck()
    assert not shop.desk.said("Handoff")


async def test_a_cancelled_job_in_a_heartbeats_answer_is_stopped(shop: Shop) -> None:
    job = await shop.submit(*LONG)
    async with shop.worker():
        await shop.desk.until_said("LaunchReport")
        shop.desk.ack = HeartbeatAck(cancelled=(job,))
        await shop.desk.until_said("CancelReport")


# -- work ---------------------------------------------------------------------------------------


async def test_an_idle_worker_waits_for_its_answer_and_does_not_poll(shop: Shop) -> None:
    async with shop.worker():
        await shop.desk.until_said("Heartbeat", 20)
        assert len(shop.desk.said("AskForWork")) == 1


async def test_a_question_that_the_orchestrator_does_not_know_of_is_asked_again(
    shop: Shop,
) -> None:
    """It was asked of one that was killed, and nobody will ever answer it."""
    shop.desk.ack = HeartbeatAck(asking=(0,))
    async with shop.worker():
        await shop.desk.until_said("Heartbeat", 30)
        assert len(shop.desk.said("AskForWork")) == 1
        shop.desk.ack = HeartbeatAck(asking=())
        await shop.desk.until_said("AskForWork", 2, within=5)


async def test_an_answer_of_no_work_that_did_not_wait_causes_no_busy_loop(shop: Shop) -> None:
    shop.desk.patient = False
    async with shop.worker():
        await shop.desk.until_said("Heartbeat", 20)
    assert len(shop.desk.said("AskForWork")) < 40


async def test_a_worker_without_work_leaves_after_its_idle_time(shop: Shop) -> None:
    pace = replace(QUICK, idle_longest=0.3)
    async with shop.worker(shop.tools(pace=pace)) as running:
        assert await running.left(within=3)
    assert shop.desk.said("Leave")[0].reason == "there is no work for it"


async def test_an_idle_slot_stays_while_another_one_works(shop: Shop) -> None:
    pace = replace(QUICK, idle_longest=0.2, ask_wait=0.2)
    await shop.submit("--steps", "40", "--pace", "0.03")
    async with shop.worker(shop.tools(pace=pace, slots=2)) as running:
        await shop.desk.until_said("AskForWork", 5)
        await shop.submit("--steps", "5", "--pace", "0.03", job="j-2")
        await shop.desk.until_said("Complete", 2)
        assert await running.left()


async def test_two_slots_run_two_jobs_each_with_its_own_gpus(shop: Shop) -> None:
    gpus = tuple(Gpu(model="A", uuid=f"GPU-{n}") for n in range(4))
    spec = {"checkpoint_watch_paths": "seen"}
    for job in ("j-1", "j-2"):
        await shop.submit_command("echo $CUDA_VISIBLE_DEVICES > seen; sleep 1", job=job, spec=spec)
    async with shop.worker(shop.tools(slots=2, gpus=gpus)):
        await shop.desk.until_said("Complete", 2)
    seen = [(await shop.restored(job) / "seen").read_text() for job in shop.desk.committed]
    assert sorted(seen) == ["GPU-0,GPU-1\n", "GPU-2,GPU-3\n"]


async def test_a_job_that_was_given_several_slots_sees_the_devices_of_all_of_them(
    shop: Shop,
) -> None:
    gpus = tuple(Gpu(model="A", uuid=f"GPU-{n}") for n in range(3))
    spec = {"checkpoint_watch_paths": "seen"}
    shop.desk.slots = (0, 2, 99)
    job = await shop.submit_command("echo $CUDA_VISIBLE_DEVICES > seen", spec=spec)
    async with shop.worker(shop.tools(slots=3, gpus=gpus)):
        await shop.desk.until_said("Complete")
    assert (await shop.restored(job) / "seen").read_text() == "GPU-0,GPU-2\n"


async def test_heartbeats_go_on_while_the_driver_hangs_and_carry_what_was_measured_last(
    shop: Shop,
) -> None:
    class Hanging:
        asked = 0

        async def load(self, gpus: Sequence[Gpu]) -> Load:
            self.asked += 1
            if self.asked > 1:
                await asyncio.Event().wait()
            return Load(cpu=0.25)

        async def look(self, gpus: Sequence[Gpu]) -> Sequence[GpuLoad]:
            return ()

    machine = Hanging()
    pace = msgspec.structs.replace(QUICK, measure_every=0.05)
    async with shop.worker(shop.tools(machine=machine, pace=pace)):
        await shop.desk.until(lambda: machine.asked > 1)
        beats = len(shop.desk.said("Heartbeat"))
        latest = await shop.desk.until_said("Heartbeat", beats + 3)
    assert latest.load == Load(cpu=0.25)


async def test_a_worker_that_is_told_to_leave_drains(shop: Shop) -> None:
    shop.desk.leave = True
    async with shop.worker(shop.tools(pace=replace(QUICK, ask_wait=0.1))) as running:
        assert await running.left(within=3)
    assert shop.desk.said("WorkerDrains")


# -- alone --------------------------------------------------------------------------------------


async def test_the_engine_runs_on_while_the_orchestrator_is_away(shop: Shop) -> None:
    job = await shop.submit("--steps", "80", "--pace", "0.03")
    async with shop.worker():
        await shop.desk.until(lambda: shop.desk.committed.get(job))
        shop.desk.away = True
        await shop.desk.until_refused(30)
        shop.desk.away = False
        await shop.desk.until_said("Complete")
    assert problems(await shop.restored(job) / "ledger.txt", 80) == []
    generations = [c.generation for c in shop.desk.committed[job]]
    assert generations == list(range(1, len(generations) + 1))
    assert not shop.desk.said("Handoff")


async def test_a_worker_alone_for_too_long_stops_its_engine_and_keeps_what_it_had_to_say(
    shop: Shop,
) -> None:
    job = await shop.submit(*LONG)
    pace = replace(QUICK, alone_longest=0.6, drain_longest=2.0, leave_within=0.3)
    async with shop.worker(shop.tools(pace=pace)) as running:
        await shop.desk.until(lambda: shop.desk.committed.get(job))
        known = len(shop.desk.committed[job])
        shop.desk.away = True
        assert not await running.left(within=8)
    shop.desk.away = False
    async with shop.worker():
        handoff = await shop.desk.until_said("Handoff")
    assert "did not answer for 0.6 s" in handoff.reason
    assert len(shop.desk.committed[job]) > known, "the last cycle was in the outbox as well"


async def test_a_last_word_is_said_until_it_is_heard(shop: Shop) -> None:
    """complete, fail and handoff were sent once; an orchestrator's restart re-ran the job."""
    await shop.submit("--steps", "10", "--pace", "0.03")
    async with shop.worker():
        await shop.desk.until_said("LaunchReport")
        shop.desk.away = True
        await shop.desk.until_refused(40)
        assert list((shop.root / "workers/w-1/outbox").glob("*.json"))
        shop.desk.away = False
        await shop.desk.until_said("Complete")
    assert not list((shop.root / "workers/w-1/outbox").glob("*.json"))


async def leave_a_letter(shop: Shop, tools: Tools) -> str:
    """In the worker's outbox, as a process left it that was killed. Its name."""
    word = Complete(worker=tools.me.worker, job=JobId("j-0"), epoch=Epoch(1))
    await Outbox(tools, tools.folder / "outbox").keep("j-0-1", Letter.of(word))
    return "j-0-1"


async def test_a_word_that_was_left_over_and_stays_unsaid_is_told_by_how_the_worker_ends(
    shop: Shop,
) -> None:
    """It ended as if all were said, and the letter lay there."""
    tools = shop.tools(pace=replace(QUICK, leave_within=0.2))
    await leave_a_letter(shop, tools)
    shop.desk.away = True
    async with shop.worker(tools) as running:
        await shop.desk.until_refused(3)
        running.worker.drain("a test")
        assert not await running.left(within=8)
    assert list((tools.folder / "outbox").glob("*.json"))


async def test_a_worker_does_not_leave_while_a_word_that_was_left_over_may_still_be_heard(
    shop: Shop,
) -> None:
    tools = shop.tools(pace=replace(QUICK, leave_within=8.0))
    await leave_a_letter(shop, tools)
    shop.desk.away = True
    async with shop.worker(tools) as running:
        await shop.desk.until_refused(3)
        running.worker.drain("a test")
        await shop.desk.until_refused(3)
        shop.desk.away = False
        assert await running.left(within=8)
    assert shop.desk.said("Complete")
    assert not list((tools.folder / "outbox").glob("*.json"))


async def test_what_an_earlier_process_could_not_say_is_said_before_the_worker_registers(
    shop: Shop,
) -> None:
    """A new process under the same name ends the leases of the one before it."""
    tools = shop.tools()
    await leave_a_letter(shop, tools)
    async with shop.worker(tools):
        await shop.desk.until_said("AskForWork")
    kinds = [type(message).__name__ for message in shop.desk.heard]
    assert kinds.index("Complete") < kinds.index("Register")
