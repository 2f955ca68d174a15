"""Everything fails at random, and every job completes with each of its steps exactly once.

make chaos SECONDS=600 SEED=7
make chaos ONLY="kill_worker drain_worker"
"""

import asyncio
import os
import random
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relaymd.bus.facts import JobChanged
from relaymd.connection import read_connection
from relaymd.core.events import Assigned
from relaymd.core.job import JobState
from tests.engines.verify import problems
from tests.system.chaos.clocks import Clock
from tests.system.chaos.facts import Facts, following
from tests.system.chaos.far_workers import far_workers
from tests.system.chaos.faults import Target, strike
from tests.system.chaos.figures import Memory, table
from tests.system.chaos.gate import gate
from tests.system.chaos.jobs import Submitted, submit_for_ever
from tests.system.disks import small_disk
from tests.system.s3_stack import S3Stack, s3_stack
from tests.system.stack import QUICK, Stack, processes_in

pytestmark = pytest.mark.system

SECONDS = float(os.environ.get("RELAYMD_CHAOS_SECONDS", "45"))
SEED = int(os.environ.get("RELAYMD_CHAOS_SEED", "1"))
ONLY = os.environ.get("RELAYMD_CHAOS_ONLY", "").split()
"""Names of faults; empty: all."""

FINISH_WITHIN = 180.0
MOST_GROWTH = 25.0
"""Megabytes."""

SETTINGS = {
    **QUICK,
    "RELAYMD_LOCAL_WORKERS": "6",
    "RELAYMD_WORKER_IDLE_POLL_MAX_SECONDS": "6",
    "RELAYMD_WORKER_DRAIN_SECONDS": "10",
    "RELAYMD_LEASE_TIME_TO_LIVE_SECONDS": "5",
    "RELAYMD_LEASE_MARGIN_SECONDS": "1",
}
FAR = 2
DISK = 64
"""Megabytes that the far workers have; they take no job where less than 32 are free."""


async def test_whatever_fails_every_job_completes_with_each_step_exactly_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", DISK) as disk:
        here, far = Clock(tmp_path / "clock"), Clock(tmp_path / "far-clock")
        settings = {**SETTINGS, **here.environment}
        async with s3_stack(tmp_path, settings) as s3, following(s3.stack.state) as facts:
            stack = s3.stack
            server = urlsplit(read_connection(stack.state).nats_url)
            assert server.hostname is not None
            assert server.port is not None
            jobs, memory = Submitted(), Memory(stack)
            async with gate(server.hostname, server.port) as way:
                url = f"nats://127.0.0.1:{way.port}"
                rng = random.Random(SEED)
                target = Target(stack, s3.proxy, way, disk, facts, rng, (here, far))
                async with far_workers(stack, FAR, url, disk.folder / "workers", far):
                    await hurt(target, jobs, memory, tmp_path)
            await until_idle(stack, facts)
            lines = [
                f"  jobs {len(jobs.steps)}, steps {sum(jobs.steps.values())}, "
                f"redone {jobs.redone()}, submits refused {jobs.refused}",
                f"  memory at most {_megabytes(memory.largest())}, "
                f"growth {_megabytes(memory.growth())}",
            ]
            with capsys.disabled():
                text = table(target.struck, facts, seed=SEED, seconds=SECONDS, lines=lines)
                sys.stdout.write(f"\n{text}\n")
            check_facts(facts, jobs)
            await check_results(s3, jobs, tmp_path)
            assert all(growth < MOST_GROWTH for growth in memory.growth().values())
    assert processes_in(tmp_path) == []


async def hurt(target: Target, jobs: Submitted, memory: Memory, folder: Path) -> None:
    """Submit and strike until time is up; return when every job has ended."""
    facts = target.facts
    rng = random.Random(target.rng.random())
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(memory.watch())
        submitter = tasks.create_task(submit_for_ever(target.stack, facts, folder, rng, jobs))
        await strike(target, SECONDS, ONLY)
        submitter.cancel()
        end = time.monotonic() + FINISH_WITHIN
        while left := [job for job in jobs.steps if not facts.is_final(job)]:
            told = {job: [fact.event for fact in facts.of(job)][-3:] for job in left}
            assert time.monotonic() < end, f"seed {SEED}: these do not end: {told}"
            await asyncio.sleep(0.2)
        watch.cancel()


async def until_idle(stack: Stack, facts: Facts) -> None:
    """No worker and no allocation is left once there is nothing to do."""

    async def look() -> bool:
        status = await facts.status()
        return not status.allocations and not status.workers

    await stack.until(look, within=60, what="no worker and no allocation is left")


def check_facts(facts: Facts, jobs: Submitted) -> None:
    """Every event once and in order; no lease is given while another lives."""
    numbers = [fact.seq for fact in facts.all]
    assert numbers == [*range(1, len(numbers) + 1)]
    for job in jobs.steps:
        changes = facts.of(job)
        assert changes[-1].state is JobState.COMPLETED, (job, changes[-1])
        assert len([change for change in changes if change.kind == "completed"]) == 1
        check_leases(changes)


def check_leases(changes: list[JobChanged]) -> None:
    epoch, generation = 0, 0
    for change in changes:
        if isinstance(change.event, Assigned):
            assert change.event.lease.epoch == epoch + 1
            epoch += 1
        elif change.kind == "checkpointed":
            assert change.event.checkpoint.generation == generation + 1  # type: ignore[union-attr]  # by its kind
            generation += 1
        elif (said := getattr(change.event, "epoch", epoch)) != epoch:
            pytest.fail(f"lease {said} was heard while {epoch} is the latest: {change}")


async def check_results(s3: S3Stack, jobs: Submitted, folder: Path) -> None:
    """From the outputs as a person fetches them."""
    for job, steps in jobs.steps.items():
        await s3.stack.cli("jobs", "fetch", job, "--to", folder / "out" / job)
        found = problems(folder / "out" / job / "ledger.txt", steps)
        assert found == [], f"seed {SEED}, job {job}: {found}"


def _megabytes(sizes: dict[str, float]) -> str:
    return ", ".join(f"{name} {size:.1f} MB" for name, size in sorted(sizes.items())) or "too short"
