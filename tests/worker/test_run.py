"""What becomes of a running engine: cancellations, ends of every kind."""

import os
import signal

from relaymd.bus import contract
from relaymd.bus.messages import Standing, StopJob
from relaymd.core.ids import Epoch, JobId, WorkerId
from relaymd.core.outcome import Outcome
from relaymd.storage import keys
from relaymd.storage.logs import read_log
from tests.engines.verify import problems
from tests.worker.lengthy import LONG, NEVER, started, step_stored
from tests.worker.processes import engine_in, until
from tests.worker.shop import Shop

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


def stop_of(job: JobId, standing: Standing, epoch: int = 1) -> StopJob:
    return StopJob(worker=WorkerId("w-1"), job=job, epoch=Epoch(epoch), standing=standing)
