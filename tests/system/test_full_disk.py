"""Disks that fill up: named in the job's events, and harmless once there is room again."""

import os
from pathlib import Path

import pytest

from tests.engines.verify import problems
from tests.system.bundles import LONG, LongRun, fake_bundle
from tests.system.disks import small_disk
from tests.system.stack import QUICK, Stack, running

pytestmark = pytest.mark.system

FULL = "No space left on device"


async def test_a_store_that_is_full_is_named_and_loses_no_generation(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        where = {"RELAYMD_STORAGE_PATH": str(disk.folder / "store")}
        async with running(tmp_path / "state", {**QUICK, **where}) as stack:
            run = LongRun(tmp_path / "b")
            job = await stack.submit(run.bundle, "--title", "store")
            await stack.until_event(job, "checkpointed", count=2)
            disk.fill()
            missed = await stack.until_event(job, "checkpoint-missed")
            assert "full" in missed["reason"] or FULL in missed["reason"]
            code, _, errors = await stack.run("submit", tmp_path / "b", "--title", "no room")
            assert code == 1
            assert len(errors.strip().splitlines()) == 1
            disk.free()
            run.let_go()
            await completes(stack, job, LONG, tmp_path / "out")
            numbers = [
                e["checkpoint"]["generation"]
                for e in await stack.events(job)
                if e["type"] == "checkpointed"
            ]
            assert numbers == [*range(1, len(numbers) + 1)]


async def test_a_worker_without_room_for_the_bundle_is_unfit_and_the_job_goes_on_later(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        disk.fill()
        where = {"RELAYMD_WORKER_DIR": str(disk.folder / "workers")}
        (disk.folder / "ballast").write_bytes(bytes(1_000_000))  # the bundle alone has no room
        async with running(tmp_path / "state", {**QUICK, **where}) as stack:
            bundle = fake_bundle(tmp_path / "b", steps=20)
            (bundle / "topology").write_bytes(os.urandom(700_000))
            job = await stack.submit(bundle, "--title", "bundle")
            ended = await stack.until_event(job, "interrupted")
            assert ended["end"]["outcome"] == "node_unfit"
            assert FULL in ended["end"]["reason"]
            disk.free()
            await completes(stack, job, 20, tmp_path / "out")


async def test_an_engine_that_ran_out_of_disk_blames_the_node_and_not_the_job(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        where = {"RELAYMD_WORKER_DIR": str(disk.folder / "workers")}
        async with running(tmp_path / "state", {**QUICK, **where}) as stack:
            run = LongRun(tmp_path / "b")
            job = await stack.submit(run.bundle, "--title", "engine")
            await stack.until_event(job, "checkpointed", count=2)
            disk.fill()
            ended = await stack.until_event(job, "interrupted")
            assert ended["end"]["outcome"] == "node_unfit", ended
            disk.free()
            run.let_go()
            await completes(stack, job, LONG, tmp_path / "out")
            launched = [e for e in await stack.events(job) if e["type"] == "launched"]
            assert launched[-1]["restored"] >= 2


async def completes(stack: Stack, job: str, steps: int, out: Path) -> None:
    await stack.until_state(job, "completed", within=90)
    await stack.cli("jobs", "fetch", job, "--to", out)
    assert problems(out / "ledger.txt", steps) == []
