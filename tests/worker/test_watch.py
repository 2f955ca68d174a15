"""Engines that have to be stopped: stalls, limits, fatal words, beginnings anew."""

import sys

from relaymd.core.ids import JobId
from relaymd.core.outcome import Outcome
from tests.worker.shop import FAKE_ENGINE, WATCHED, Shop


async def test_an_engine_that_never_makes_progress_is_stopped(shop: Shop) -> None:
    spec = {"startup_progress_timeout_seconds": 0.5, "progress_file_path": "progress"}
    await shop.submit_command("sleep 60", spec=spec)
    async with shop.worker():
        fail = await shop.desk.until_said("Fail", within=5)
    assert fail.end.outcome is Outcome.ENGINE_FAILED
    assert "no progress within 0.5 s" in fail.end.reason


async def test_an_engine_that_hangs_below_a_living_wrapper_is_stopped(shop: Shop) -> None:
    spec = {"progress_timeout_seconds": 0.6, "progress_glob_pattern": "*.log"}
    await shop.submit_command(
        "for i in 1 2 3; do echo $i >> x.log; sleep 0.2; done; sleep 60", spec=spec
    )
    async with shop.worker():
        fail = await shop.desk.until_said("Fail", within=6)
    assert "no progress for 0.6 s" in fail.end.reason


async def test_an_engine_that_runs_too_long_is_stopped(shop: Shop) -> None:
    await shop.submit_command("sleep 60", spec={"max_runtime_seconds": 0.5})
    async with shop.worker():
        fail = await shop.desk.until_said("Fail", within=5)
    assert "longer than 0.5 s" in fail.end.reason


async def test_a_fatal_line_ends_the_attempt_with_the_line_as_evidence(shop: Shop) -> None:
    spec = {"fatal_log_patterns": "NaN"}
    await shop.submit_command("echo Energy is NaN; sleep 60", spec=spec)
    async with shop.worker():
        fail = await shop.desk.until_said("Fail", within=5)
    assert "fatal pattern" in fail.end.reason
    assert fail.end.evidence == "Energy is NaN"


async def test_a_fatal_line_of_an_earlier_segment_does_not_end_this_one(shop: Shop) -> None:
    """Restored log text matched again, so a healthy job could never resume."""
    spec = {
        "checkpoint_watch_paths": ["md.log"],
        "checkpoint_poll_interval_seconds": 0.1,
        "fatal_log_path": "md.log",
        "fatal_log_patterns": ["NaN"],
    }
    command = "if [ -e md.log ]; then sleep 1; else echo NaN > md.log; sleep 60; fi"
    job = await shop.submit_command(command, spec={**spec, "fatal_log_patterns": ["never"]})
    async with shop.worker() as first:
        await shop.desk.until(lambda: shop.desk.committed.get(job))
        first.worker.drain("a test")
        await first.left()
    await shop.submit_command(command, spec=spec)
    async with shop.worker(shop.tools("w-2")):
        await shop.desk.until_said("Complete", within=6)
    assert not shop.desk.said("Fail")


async def test_an_engine_that_ignores_its_checkpoint_is_stopped_and_stores_nothing_over_it(
    shop: Shop,
) -> None:
    """Its first segment goes well; the second begins at step 0, as if there were nothing."""
    forgets = (
        "test $RELAYMD_GENERATION = 0 || rm -f state.json; "
        f"exec {sys.executable} {FAKE_ENGINE} --steps 1000 --pace 0.03"
    )
    guarded = {**WATCHED, "progress_rollback_limit": 0.05, "progress_timeout_seconds": 2}
    job = await shop.submit_command(forgets, spec=guarded)
    async with shop.worker() as first:
        await shop.desk.until(lambda: step_told(shop, job) >= 50)
        first.worker.drain("a test")
        await first.left()
    known = len(shop.desk.committed[job])
    shop.resubmit(job)
    async with shop.worker(shop.tools("w-2")):
        fail = await shop.desk.until_said("Fail")
    assert fail.end.outcome is Outcome.ENGINE_FAILED
    assert "fell back to step" in fail.end.reason
    assert len(shop.desk.committed[job]) == known


def step_told(shop: Shop, job: JobId) -> int:
    """By the newest checkpoint."""
    kept = shop.desk.committed.get(job, [])
    return (kept[-1].progress.step or 0) if kept and kept[-1].progress else 0
