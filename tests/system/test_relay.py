"""One simulation, handed from worker to worker, whatever dies on the way."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.engines.verify import problems
from tests.system.bundles import LONG, LongRun, fake_bundle
from tests.system.stack import QUICK, Stack, command_line, is_alive, running

pytestmark = pytest.mark.system


async def results(stack: Stack, job: str, folder: Path) -> Path:
    await stack.cli("jobs", "fetch", job, "--to", folder)
    return folder / "ledger.txt"


async def engine_of(stack: Stack, worker: Any) -> int:
    """The process id of the engine that the worker runs."""
    from tests.system.stack import descendants

    async def look() -> int:
        engines = [pid for pid in descendants(worker["pid"]) if "fake_engine" in command_line(pid)]
        return engines[-1] if engines else 0

    return await stack.until(look, what="an engine runs")


async def test_killed_drained_and_finished_by_a_third_no_step_is_lost_or_doubled(
    stack: Stack, tmp_path: Path
) -> None:
    run = LongRun(tmp_path / "b")
    job = await stack.submit(run.bundle, "--title", "relay")
    await stack.until_event(job, "checkpointed", count=2)
    first = await stack.worker_of(job)
    os.kill(first["pid"], signal.SIGKILL)
    await stack.until_event(job, "launched", count=2)
    after = len([e for e in await stack.events(job) if e["type"] == "checkpointed"])
    await stack.until_event(job, "checkpointed", count=after + 1)
    second = await stack.worker_of(job)
    assert second["id"] != first["id"]
    known = (await stack.json("workers"))["workers"]
    assert second["id"] in [view["worker"]["id"] for view in known]
    os.kill(second["pid"], signal.SIGTERM)
    await stack.until_event(job, "handed-off")
    run.let_go()
    await stack.until_state(job, "completed")

    details = await stack.json("jobs", "show", job)
    ends = [segment["how"] for segment in details["segments"]]
    assert ends == ["interrupted", "handed over", "completed"]
    assert problems(await results(stack, job, tmp_path / "out"), LONG) == []


async def test_the_job_of_a_killed_worker_runs_elsewhere_within_ten_seconds(
    stack: Stack, tmp_path: Path
) -> None:
    job = await stack.submit(LongRun(tmp_path / "b").bundle, "--title", "kill")
    await stack.until_event(job, "checkpointed", count=1)
    worker = await stack.worker_of(job)
    engine = await engine_of(stack, worker)
    committed = (await stack.show(job))["view"]["job"]["checkpoints"][-1]["generation"]
    os.kill(worker["pid"], signal.SIGKILL)
    launched = await stack.until_event(job, "launched", count=2, within=10)
    assert launched["restored"] >= committed
    assert not is_alive(engine), "the engine outlived its worker"
    await stack.cli("jobs", "cancel", job)
    await stack.until_state(job, "cancelled")


async def test_killing_the_orchestrator_at_any_moment_stops_no_engine_and_forgets_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    run = LongRun(tmp_path / "b")
    job = await stack.submit(run.bundle, "--title", "orchestrator")
    await stack.until_event(job, "launched")
    worker = await stack.worker_of(job)
    engine = await engine_of(stack, worker)
    acknowledged = [job]
    for number in range(3):
        (pid,) = stack.children("relaymd.actors")
        os.kill(pid, signal.SIGKILL)
        await stack.cli("status", "--wait", "20")
        bundle = fake_bundle(tmp_path / f"c{number}", steps=5)
        acknowledged.append(await stack.submit(bundle, "--title", f"after {number}"))
    assert is_alive(engine)
    run.let_go()
    for id in acknowledged:
        await stack.until_state(id, "completed", within=90)
    assert len((await stack.show(job))["segments"]) == 1, "adopted, not restarted"
    assert problems(await results(stack, job, tmp_path / "out"), LONG) == []


async def test_killing_the_broker_stops_no_engine_and_loses_no_worker(
    stack: Stack, tmp_path: Path
) -> None:
    run = LongRun(tmp_path / "b")
    job = await stack.submit(run.bundle, "--title", "broker")
    await stack.until_event(job, "checkpointed")
    engine = await engine_of(stack, await stack.worker_of(job))
    for _ in range(2):
        (pid,) = stack.children("nats-server")
        os.kill(pid, signal.SIGKILL)
        await stack.cli("status", "--wait", "20")
    assert is_alive(engine)
    run.let_go()
    await stack.until_state(job, "completed", within=90)
    assert len((await stack.show(job))["segments"]) == 1, "no false reaping"
    assert problems(await results(stack, job, tmp_path / "out"), LONG) == []


async def test_a_worker_stopped_until_it_was_replaced_is_told_superseded_and_changes_nothing(
    tmp_path: Path,
) -> None:
    quick = {
        **QUICK,
        "RELAYMD_LEASE_TIME_TO_LIVE_SECONDS": "4",
        "RELAYMD_LEASE_MARGIN_SECONDS": "1",
    }
    async with running(tmp_path / "state", quick) as stack:
        run = LongRun(tmp_path / "b")
        job = await stack.submit(run.bundle, "--title", "zombie")
        await stack.until_event(job, "checkpointed")
        zombie = await stack.worker_of(job)
        engine = await engine_of(stack, zombie)
        os.kill(zombie["pid"], signal.SIGSTOP)
        try:
            await stack.until_event(job, "launched", count=2, within=30)
        finally:
            os.kill(zombie["pid"], signal.SIGCONT)

        async def stopped() -> bool:
            return not is_alive(engine)

        await stack.until(stopped, within=20, what="the zombie stops its engine")
        run.let_go()
        await stack.until_state(job, "completed", within=90)
        events = await stack.events(job)
        second = [e["epoch"] for e in events if e["type"] == "launched"][1]
        begin = next(
            i for i, e in enumerate(events) if e["type"] == "launched" and e["epoch"] == second
        )
        assert {e.get("epoch") for e in events[begin:]} == {second}, "the zombie changed something"
        assert problems(await results(stack, job, tmp_path / "out"), LONG) == []


async def test_a_requeue_by_an_operator_keeps_the_id_and_the_checkpoint(
    stack: Stack, tmp_path: Path
) -> None:
    run = LongRun(tmp_path / "b")
    job = await stack.submit(run.bundle, "--title", "again")
    await stack.until_event(job, "checkpointed", count=2)
    await stack.cli("jobs", "cancel", job)
    await stack.until_state(job, "cancelled")
    run.let_go()
    generation = (await stack.show(job))["view"]["job"]["checkpoints"][-1]["generation"]
    await stack.cli("jobs", "requeue", job)
    await stack.until_state(job, "completed")
    launched = [e for e in await stack.events(job) if e["type"] == "launched"]
    assert launched[-1]["restored"] == generation > 0
    assert problems(await results(stack, job, tmp_path / "out"), LONG) == []
