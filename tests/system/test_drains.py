"""Engines of every manner under a worker that is told to leave: what is stored and handed on."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.engines.verify import problems
from tests.system.bundles import fake_bundle
from tests.system.stack import QUICK, Stack, is_alive, running

pytestmark = pytest.mark.system

LONG, SHORT = 1200, 400
"""Steps of 50 ms: longer than any drain here, and shorter."""

FINISHES = "exits 0 in the drain"
MANNERS = {
    "ignores SIGTERM": ("--ignore-term",),
    "needs 20 s to write": ("--term-seconds", "20"),
    "leaves a grandchild in a session of its own": ("--grandchild",),
    FINISHES: ("--finish-at-term",),
    "exits 1 after a good checkpoint": ("--term-code", "1"),
    "hangs after its last checkpoint": ("--hang-after-term",),
}

SETTINGS = {
    **QUICK,
    "RELAYMD_LOCAL_WORKERS": str(len(MANNERS)),
    "RELAYMD_WORKER_DRAIN_SECONDS": "40",
}


async def test_engines_of_every_manner_are_drained_and_lose_or_double_no_step(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "state", SETTINGS) as stack:
        jobs = {
            manner: await stack.submit(bundle(tmp_path, number, manner), "--title", manner)
            for number, manner in enumerate(MANNERS)
        }
        for job in jobs.values():
            await stack.until_event(job, "checkpointed", within=120)
        workers = {manner: await stack.worker_of(job) for manner, job in jobs.items()}
        assert len({worker["id"] for worker in workers.values()}) == len(MANNERS)
        grandchild = int(one(stack, "grandchild.pid").read_text())
        for worker in workers.values():
            os.kill(worker["pid"], signal.SIGTERM)

        ends = {manner: await first_end(stack, job) for manner, job in jobs.items()}
        assert ends.pop(FINISHES)["how"] == "completed"
        for manner, end in ends.items():
            assert end["how"] == "handed over", (manner, end)
            assert "stands" not in end["reason"], "each last checkpoint was stored in time"
        assert not is_alive(grandchild)
        for manner, job in jobs.items():
            assert await stack.until_state(job, "completed", "failed", within=180) == "completed"
            await stack.cli("jobs", "fetch", job, "--to", tmp_path / f"out-{job}")
            ledger = tmp_path / f"out-{job}" / "ledger.txt"
            assert problems(ledger, steps(manner)) == [], manner


def steps(manner: str) -> int:
    return SHORT if manner == FINISHES else LONG


def bundle(folder: Path, number: int, manner: str) -> Path:
    return fake_bundle(folder / f"bundle-{number}", *MANNERS[manner], steps=steps(manner))


async def first_end(stack: Stack, job: str) -> Any:
    """The job's first segment, once it is over."""

    async def look() -> Any:
        segment = (await stack.show(job))["segments"][0]
        return segment if "ended_at" in segment else None

    return await stack.until(look, within=120, what=f"the first segment of {job} ends")


def one(stack: Stack, name: str) -> Path:
    (found,) = (stack.state / "workers").glob(f"*/*/work/{name}")
    return found
