"""What becomes of a running engine: drains, cancellations, ends of every kind."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar

import msgspec
import pytest

from relaymd.bus import contract
from relaymd.bus.messages import Drain, HeartbeatAck, Standing, StopJob
from relaymd.core.ids import Epoch, JobId, WorkerId
from relaymd.core.outcome import Outcome
from relaymd.storage import keys
from relaymd.storage.logs import read_log
from relaymd.storage.store import StorageUnreachableError
from relaymd.worker.snapshot import NotValidError
from tests.engines.verify import problems
from tests.worker.bench import Grumpy
from tests.worker.processes import engine_in, is_alive, number_in, until
from tests.worker.shop import QUICK, Shop

P = ParamSpec("P")
T = TypeVar("T")

LONG = ("--steps", "1000", "--pace", "0.03")
NEVER = {"checkpoint_poll_interval_seconds": 3600}
"""No cycle but the last one."""


async def step_stored(shop: Shop, job: JobId) -> int:
    state = json.loads((await shop.restored(job) / "state.json").read_text())
    return int(state["step"])


async def started(shop: Shop, worker: str = "w-1") -> None:
    """Wait until the engine has made a few steps."""
    folder = shop.root / "workers" / worker
    await until(lambda: any(len(f.read_text()) > 100 for f in folder.glob("j-*/work/ledger.txt")))


# -- drain --------------------------------------------------------------------------------------


async def test_what_the_engine_writes_at_sigterm_is_what_is_stored(shop: Shop) -> None:
    """Not the checkpoint from before the signal."""
    job = await shop.submit(*LONG, "--checkpoint-every", "1000", spec=NEVER)
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left()
    assert await step_stored(shop, job) > 0
    assert [type(m).__name__ for m in shop.desk.heard if "Drain" in type(m).__name__]
    assert shop.desk.said("Handoff")[0].reason == "a test"
    assert shop.desk.said("Leave")


async def test_an_engine_that_needs_time_to_write_gets_it(shop: Shop) -> None:
    job = await shop.submit(
        *LONG, "--checkpoint-every", "1000", "--term-seconds", "1.5", spec=NEVER
    )
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left()
    assert await step_stored(shop, job) > 0


async def test_an_engine_that_hangs_after_its_last_checkpoint_is_killed_when_it_is_stored(
    shop: Shop,
) -> None:
    """As AToM-OpenMM does."""
    marked = {**NEVER, "checkpoint_marker": "valid"}
    options = ("--checkpoint-every", "1000", "--marker", "valid", "--hang-after-term")
    job = await shop.submit(*LONG, *options, spec=marked)
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left(within=4)
    assert await step_stored(shop, job) > 0
    assert shop.desk.said("Handoff")


async def test_an_engine_that_ignores_sigterm_hands_over_its_latest_checkpoint(shop: Shop) -> None:
    job = await shop.submit(*LONG, "--ignore-term", spec=NEVER)
    async with shop.worker(shop.tools(pace=msgspec.structs.replace(QUICK, drain_longest=2.0))) as w:
        await until((shop.root / "workers/w-1/j-1-1/work/state.json").exists)
        w.worker.drain("a test")
        assert await w.left(within=5)
    assert await step_stored(shop, job) > 0
    assert shop.desk.said("Handoff")


async def test_an_engine_that_exits_0_in_a_drain_has_completed(shop: Shop) -> None:
    job = await shop.submit("--steps", "40", "--pace", "0.03", "--finish-at-term", spec=NEVER)
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left()
    assert shop.desk.said("Complete")
    assert not shop.desk.said("Handoff")
    assert problems(await shop.restored(job) / "ledger.txt", 40) == []


async def test_an_engine_that_exits_1_after_a_good_checkpoint_in_a_drain_is_handed_on(
    shop: Shop,
) -> None:
    job = await shop.submit(*LONG, "--checkpoint-every", "1000", "--term-code", "1", spec=NEVER)
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left()
    assert shop.desk.said("Handoff")
    assert not shop.desk.said("Fail")
    assert await step_stored(shop, job) > 0


async def test_heartbeats_go_on_until_the_lease_is_given_back(shop: Shop) -> None:
    await shop.submit(*LONG, "--term-seconds", "1")
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        await running.left()
    kinds = [type(message).__name__ for message in shop.desk.heard]
    between = kinds[kinds.index("DrainReport") : kinds.index("Handoff")]
    assert between.count("Heartbeat") >= 10
    phases = {lease.phase for beat in shop.desk.said("Heartbeat") for lease in beat.leases}
    assert phases >= {"running", "draining"}


async def test_a_drain_leaves_no_process_behind(shop: Shop) -> None:
    await shop.submit(*LONG, "--grandchild")
    async with shop.worker() as running:
        await started(shop)
        folder = next((shop.root / "workers" / "w-1").glob("j-*")) / "work"
        grandchild = number_in(folder / "grandchild.pid")
        running.worker.drain("a test")
        await running.left()
    assert grandchild
    assert not is_alive(grandchild)
    assert not folder.exists(), "the lease's folder is removed when its end was heard"


async def test_a_drain_whose_last_cycle_fails_says_so_and_the_one_before_stands(
    shop: Shop,
) -> None:
    job = await shop.submit(*LONG)
    pace = msgspec.structs.replace(QUICK, drain_longest=2.0)
    async with shop.worker(shop.tools(pace=pace)) as running:
        await shop.desk.until(lambda: len(shop.desk.committed.get(job, ())) >= 3)
        (shop.root / "store").rename(shop.root / "gone")
        running.worker.drain("a test")
        assert await running.left()
    (shop.root / "gone").rename(shop.root / "store")
    assert "the one before stands" in shop.desk.said("Handoff")[0].reason
    assert await step_stored(shop, job) > 0


async def test_a_drain_tries_again_while_the_engine_still_writes_its_checkpoint(
    shop: Shop,
) -> None:
    """One that heeds no signal has its marker away when we look, and back a moment later."""
    script = """
        trap '' TERM
        echo first > state.json
        touch marker
        while :; do
            sleep 0.05
            [ -e away ] && rm -f marker
            [ -e back ] && { rm -f away back; echo last > state.json; touch marker; }
        done
    """
    spec = {"checkpoint_watch_paths": ["state.json"], "checkpoint_marker": "marker"}
    job = await shop.submit_command(script, spec=spec)
    pace = msgspec.structs.replace(QUICK, drain_longest=4.0, void_tries=1, settle=3600.0)
    tools = shop.tools(pace=pace)
    looked = asyncio.Event()

    async def offload(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await tools.offload(work, *args, **kwargs)
        except NotValidError:
            looked.set()
            raise

    async with shop.worker(replace(tools, offload=offload)) as running:
        await shop.desk.until_said("CheckpointReport")
        (work,) = (shop.root / "workers" / "w-1").glob("j-*/work")
        (work / "away").touch()
        await until(lambda: not (work / "marker").exists())
        running.worker.drain("a test")
        await shop.desk.until_said("DrainReport")
        looked.clear()
        await looked.wait()
        (work / "back").touch()
        assert await running.left()
    assert shop.desk.said("Handoff")[0].reason == "a test"
    assert (await shop.restored(job) / "state.json").read_text() == "last\n"


async def test_a_drain_tries_again_while_the_store_is_away(shop: Shop) -> None:
    job = await shop.submit(*LONG, "--checkpoint-every", "1000", spec=NEVER)
    store = Grumpy(shop.store)
    async with shop.worker(shop.tools(store=store)) as running:
        await started(shop)
        store.error = StorageUnreachableError("the store", "it is away")
        running.worker.drain("a test")
        await until(lambda: store.refused >= 2)
        store.error = None
        assert await running.left()
    assert shop.desk.said("Handoff")[0].reason == "a test"
    assert await step_stored(shop, job) > 0


async def test_a_drain_does_not_wait_for_a_checkpoint_that_an_ended_engine_left_torn(
    shop: Shop,
) -> None:
    script = "touch state.json marker; trap 'rm marker; exit 75' TERM; while :; do sleep 0.05; done"
    spec = {"checkpoint_watch_paths": ["state.json"], "checkpoint_marker": "marker"}
    await shop.submit_command(script, spec=spec)
    pace = msgspec.structs.replace(QUICK, drain_longest=600.0, void_tries=2)
    async with shop.worker(shop.tools(pace=pace)) as running:
        await shop.desk.until_said("CheckpointReport")
        running.worker.drain("a test")
        assert await running.left()
    assert "the marker marker is not there" in shop.desk.said("Handoff")[0].reason


async def test_a_second_signal_hurries(shop: Shop) -> None:
    await shop.submit(*LONG, "--term-seconds", "60")
    pace = msgspec.structs.replace(QUICK, drain_longest=100.0)
    async with shop.worker(shop.tools(pace=pace)) as running:
        await started(shop)
        running.worker.drain("a test")
        await shop.desk.until_said("DrainReport")
        running.worker.hurry("a test")
        assert await running.left(within=9)
    assert shop.desk.said("Handoff")


@pytest.mark.parametrize("drains_already", [False, True])
async def test_a_signal_before_a_kill_leaves_what_the_site_leaves(
    shop: Shop, drains_already: bool
) -> None:
    """SLURM kills so many seconds after its signal, whatever a drain might take otherwise."""
    await shop.submit(*LONG, "--term-seconds", "60")
    pace = msgspec.structs.replace(QUICK, drain_longest=100.0)
    tools = shop.tools(pace=pace)
    tools = replace(tools, me=msgspec.structs.replace(tools.me, notice=4.0))
    async with shop.worker(tools) as running:
        await started(shop)
        if drains_already:
            running.worker.drain("a test")
            await shop.desk.until_said("DrainReport")
        running.worker.hurry("a test")
        assert await running.left(within=6)
    assert shop.desk.said("Handoff")


async def test_a_job_is_handed_on_before_its_allocation_ends(shop: Shop) -> None:
    """The deadline is unix time, the loop's clock is not."""
    await shop.submit(*LONG)
    tools = shop.tools(deadline=shop.wall + 4.0)
    async with shop.worker(tools) as running:
        assert await running.left(within=6)
    assert "allocation" in shop.desk.said("Handoff")[0].reason


async def test_a_drain_pushed_by_the_orchestrator_is_obeyed_at_once(shop: Shop) -> None:
    await shop.submit(*LONG)
    async with shop.worker() as running:
        await started(shop)
        await shop.bus.ask(contract.DRAIN, drain_of("w-1"))
        assert await running.left()
    assert shop.desk.said("Handoff")[0].reason == "pushed"


async def test_a_drain_whose_push_was_lost_comes_with_the_heartbeat(shop: Shop) -> None:
    await shop.submit(*LONG)
    async with shop.worker() as running:
        await started(shop)
        shop.desk.ack = HeartbeatAck(drain="said again")
        assert await running.left()
    assert shop.desk.said("Handoff")[0].reason == "said again"


# -- cancel and superseded ----------------------------------------------------------------------


async def test_a_cancelled_job_is_stopped_at_once_and_says_so(shop: Shop) -> None:
    job = await shop.submit(*LONG, "--ignore-term")
    async with shop.worker():
        await started(shop)
        await shop.bus.ask(contract.STOP, stop_of(job, Standing.CANCELLED))
        await shop.desk.until_said("CancelReport", within=3)
        await shop.desk.until_said("AskForWork", 2)


async def test_a_superseded_worker_stops_its_engine_stores_nothing_and_asks_for_other_work(
    shop: Shop,
) -> None:
    job = await shop.submit(*LONG, "--ignore-term")
    async with shop.worker():
        await started(shop)
        await shop.desk.until(lambda: shop.desk.committed.get(job))
        shop.desk.revoke(job)
        before = shop.desk.committed[job][:]
        await shop.bus.ask(contract.STOP, stop_of(job, Standing.SUPERSEDED))
        await shop.desk.until_said("AskForWork", 2, within=3)
        await until(lambda: not list((shop.root / "workers" / "w-1").glob("j-*")))
    assert shop.desk.committed[job] == before
    assert not shop.desk.said("Handoff")
    assert not shop.desk.said("Fail")


async def test_a_superseded_answer_to_any_report_stops_the_engine(shop: Shop) -> None:
    job = await shop.submit(*LONG)
    async with shop.worker():
        await started(shop)
        shop.desk.revoke(job)
        await shop.desk.until_said("AskForWork", 2, within=5)
    assert not shop.desk.said("Complete")


async def test_a_stop_for_another_lease_changes_nothing(shop: Shop) -> None:
    job = await shop.submit("--steps", "40", "--pace", "0.03")
    async with shop.worker():
        await started(shop)
        await shop.bus.ask(contract.STOP, stop_of(job, Standing.SUPERSEDED, epoch=7))
        await shop.desk.until_said("Complete")


# -- how engines end ----------------------------------------------------------------------------


async def test_a_failed_engine_is_reported_with_the_last_lines_of_its_output(shop: Shop) -> None:
    spec = {"failure_artifact_paths": ["ledger.txt"]}
    job = await shop.submit("--steps", "9", "--fail-at", "4", "--fail-code", "3", spec=spec)
    async with shop.worker():
        fail = await shop.desk.until_said("Fail")
    assert fail.end.outcome is Outcome.ENGINE_FAILED
    assert fail.end.exit_code == 3
    assert "fails, as it was told to" in fail.end.evidence
    artifact = keys.failures(job, Epoch(1)) + "ledger.txt"
    assert len((await shop.store.get(artifact)).splitlines()) == 4


async def test_a_failed_segment_commits_no_checkpoint(shop: Shop) -> None:
    job = await shop.submit("--steps", "9", "--fail-at", "7", spec=NEVER)
    async with shop.worker():
        await shop.desk.until_said("Fail")
    assert job not in shop.desk.committed


async def test_an_engine_ended_from_outside_was_interrupted_and_its_files_are_stored(
    shop: Shop,
) -> None:
    """As when a scheduler signals every process of a step."""
    job = await shop.submit("--steps", "1000", "--pace", "0.03", "--default-term", spec=NEVER)
    async with shop.worker():
        await started(shop)
        ledger = next((shop.root / "workers" / "w-1").glob("j-*/work/ledger.txt"))
        await until(lambda: (ledger.parent / "state.json").exists())
        engine = await until(lambda: engine_in(ledger.parent))
        os.kill(engine, signal.SIGTERM)
        fail = await shop.desk.until_said("Fail")
    assert fail.end.outcome is Outcome.INTERRUPTED
    assert await step_stored(shop, job) > 0


async def test_an_engine_without_any_checkpoint_pattern_completes(shop: Shop) -> None:
    await shop.submit_command("echo done", spec={})
    async with shop.worker():
        await shop.desk.until_said("Complete")
    assert not shop.desk.said("CheckpointReport")


async def test_an_engine_whose_patterns_match_nothing_completes_and_it_is_said_once(
    shop: Shop,
) -> None:
    spec = {"checkpoint_watch_paths": "*.chk", "checkpoint_poll_interval_seconds": 0.1}
    await shop.submit_command("sleep 1", spec=spec)
    async with shop.worker():
        await shop.desk.until_said("Complete")
    assert [miss.reason for miss in shop.desk.said("CheckpointMiss")] == [
        "no file matches *.chk yet"
    ]
    assert not shop.desk.said("CheckpointReport")


async def test_a_completion_waits_for_a_store_that_is_away_and_beats_meanwhile(
    shop: Shop,
) -> None:
    job = await shop.submit("--steps", "30", "--pace", "0.03", spec=NEVER)
    async with shop.worker():
        await started(shop)
        (shop.root / "store").rename(shop.root / "gone")
        await shop.desk.until_said("CheckpointMiss")
        beats = len(shop.desk.said("Heartbeat"))
        await shop.desk.until_said("Heartbeat", beats + 10)
        assert not shop.desk.said("Complete")
        (shop.root / "gone").rename(shop.root / "store")
        await shop.desk.until_said("Complete")
    assert problems(await shop.restored(job) / "ledger.txt", 30) == []


async def test_outputs_are_stored_at_completion(shop: Shop) -> None:
    job = await shop.submit("--steps", "5", spec={"outputs": ["ledger.txt"]})
    async with shop.worker():
        await shop.desk.until_said("Complete")
    stored = await shop.store.get(keys.outputs(job, Epoch(1)) + "ledger.txt")
    assert len(stored.splitlines()) == 5


async def test_all_output_is_stored_also_at_a_handover(shop: Shop) -> None:
    job = await shop.submit(*LONG, "--noise", "200")
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        await running.left()
    text = b""
    async for piece in read_log(shop.store, job, Epoch(1), "stdout"):
        assert piece.missing == 0
        text += piece.data
    lines = text.decode().splitlines()
    steps = [int(line.split()[1]) for line in lines if line.startswith("step")]
    assert steps == list(range(1, len(steps) + 1))
    assert lines[-1].startswith("stops at step")


def drain_of(worker: str) -> Drain:
    return Drain(worker=WorkerId(worker), reason="pushed")


def stop_of(job: JobId, standing: Standing, epoch: int = 1) -> StopJob:
    return StopJob(worker=WorkerId("w-1"), job=job, epoch=Epoch(epoch), standing=standing)
