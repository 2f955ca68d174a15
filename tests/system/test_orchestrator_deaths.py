"""`kill -9` of the orchestrator at moments that hurt: nothing is lost, and nothing runs twice.

The moments are drawn by a seed, as seconds after something was seen: a lease that was just
given, a checkpoint that is being reported, a last word that is being said.
"""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from relaymd.core.events import Assigned
from relaymd.core.ids import JobId
from relaymd.core.job import JobState
from tests.engines.verify import problems
from tests.system.bundles import fake_bundle
from tests.system.chaos.facts import Facts, following
from tests.system.stack import Stack

pytestmark = pytest.mark.system

ROUNDS = 5
"""More deaths than that within a minute, and `up` gives up."""

STEPS = 24
ENGINE_SECONDS = STEPS * 0.05


def kill_orchestrator(stack: Stack) -> None:
    (pid,) = stack.children("relaymd.actors")
    os.kill(pid, signal.SIGKILL)


async def submitted(stack: Stack, folder: Path, tally: Path) -> JobId:
    tally.touch()
    bundle = fake_bundle(folder, "--tally", str(tally), steps=STEPS, pace=0.05)
    return JobId(await stack.submit(bundle, "--title", folder.name))


@pytest.mark.parametrize(
    ("moment", "within"),
    [
        ("assigned", 0.15),
        ("launched", 1.5 * ENGINE_SECONDS),
    ],
    ids=["a lease was just given", "checkpoints are reported, the job completes"],
)
async def test_whenever_the_orchestrator_dies_nothing_is_lost_and_no_job_runs_twice(
    stack: Stack, tmp_path: Path, moment: str, within: float
) -> None:
    rng = random.Random(f"{moment} {within}")
    jobs: dict[JobId, Path] = {}
    async with following(stack.state) as facts:
        for number in range(ROUNDS):
            tally = tmp_path / f"tally-{number}"
            job = await submitted(stack, tmp_path / f"b-{number}", tally)
            jobs[job] = tally
            await seen(stack, facts, job, moment)
            await asyncio.sleep(rng.uniform(0, within))  # the moment is what is tested
            kill_orchestrator(stack)
            await facts.status()
        for job in jobs:
            await stack.until_state(job, "completed", within=60)
        numbers = [fact.seq for fact in facts.all]
    assert numbers == [*range(1, len(numbers) + 1)], "an event was lost, doubled or out of order"
    for job, tally in jobs.items():
        await check(stack, facts, job, tally, tmp_path / "out" / job)


async def seen(stack: Stack, facts: Facts, job: JobId, kind: str) -> None:
    async def look() -> bool:
        return any(fact.kind == kind for fact in facts.of(job))

    await stack.until(look, within=20, what=f"{kind} of {job}")


async def check(stack: Stack, facts: Facts, job: JobId, tally: Path, out: Path) -> None:
    changes = facts.of(job)
    assert changes[-1].state is JobState.COMPLETED
    leases = [change.event for change in changes if isinstance(change.event, Assigned)]
    launches = [change for change in changes if change.kind == "launched"]
    # A lease whose assignment never reached its worker may be revoked; an engine that runs, never.
    assert len(launches) == 1, changes
    assert [event.lease.epoch for event in leases] == [*range(1, len(leases) + 1)]
    await stack.cli("jobs", "fetch", job, "--to", out)
    assert problems(out / "ledger.txt", STEPS) == []
    assert len(tally.read_text().splitlines()) == STEPS, "a step was computed twice"
