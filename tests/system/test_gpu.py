"""What only a machine with an NVIDIA GPU can show; elsewhere all of it says why it is skipped."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from examples.demo import verify
from relaymd.machine import Machine
from tests.system.stack import QUICK, Stack, running

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# OpenMM carries no type information.

EXAMPLE = Path(__file__).parents[2] / "examples" / "openmm-water"
STEPS = 200_000
RARELY = {
    "BLOCK = 50\n": "BLOCK = 500\n",
    "FRAME = 100\n": "FRAME = 1000\n",
    "CHECKPOINT = 250\n": "CHECKPOINT = 5000\n",
}
"""What a processor needs seconds for, a GPU does at once."""


def why_not() -> str:
    """Why this machine cannot run these tests; empty: it can."""
    return "" if asyncio.run(Machine().cards()) else "no NVIDIA GPU is seen on this machine"


WHY_NOT = why_not()

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncGenerator[Stack]:
    settings = {**QUICK, "RELAYMD_LOCAL_WORKERS": "1", "RELAYMD_WORKER_SLOTS": "2"}
    async with running(tmp_path / "state", settings) as stack:
        yield stack


async def a_worker(stack: Stack) -> Any:
    async def look() -> Any:
        return next((view for view in await stack.workers() if view.get("load")), None)

    return await stack.until(look, what="a worker has said how busy its machine is")


def smi(fields: str) -> list[list[str]]:
    """What NVIDIA's own tool says of each card."""
    words = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    told = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    return [[word.strip() for word in line.split(",")] for line in told.splitlines()]


def shell(folder: Path, command: str, *lines: str) -> Path:
    """A bundle of one command."""
    folder.mkdir()
    text = "\n".join((f"command: {command!r}", "checkpoint_watch_paths: seen", *lines))
    (folder / "relaymd-worker.yaml").write_text(text + "\n")
    return folder


async def test_the_gpus_of_a_worker_are_those_that_nvidias_own_tool_names(
    stack: Stack, tmp_path: Path
) -> None:
    if shutil.which("nvidia-smi") is None:
        pytest.skip("nvidia-smi is not installed beside the driver")
    await stack.submit(shell(tmp_path / "b", "sleep 5"), "--title", "wake a worker")
    view = await a_worker(stack)
    whole = {gpu["uuid"]: gpu for gpu in view["worker"]["gpus"] if gpu["uuid"].startswith("GPU")}
    assert view["worker"]["gpus"]
    for uuid, name, total in smi("uuid,name,memory.total"):
        if uuid in whole:  # others are divided, or hidden by CUDA_VISIBLE_DEVICES
            assert whole[uuid]["model"] == name
            assert abs(whole[uuid]["vram_gb"] - float(total) * 2**20 / 1e9) < 0.1
    assert {load["uuid"] for load in view["load"]["gpus"]} == {
        gpu["uuid"] for gpu in view["worker"]["gpus"]
    }
    assert {"CUDA", "OpenCL"} <= {*view["worker"]["platforms"]}


async def test_two_jobs_run_at_once_on_one_worker_and_share_no_device(
    stack: Stack, tmp_path: Path
) -> None:
    """With one GPU the second job is one for the processor, and sees no device."""
    command = "nvidia-smi -L > /dev/null; echo $CUDA_VISIBLE_DEVICES > seen; sleep 4"
    count = sum(len(card.gpus) for card in await Machine().cards())
    needs = [1, 1 if count > 1 else 0]
    jobs = [
        await stack.submit(
            shell(tmp_path / f"b{n}", command, "outputs: seen", f"resources: {{gpus: {gpus}}}"),
            *("--title", f"job {n}"),
        )
        for n, gpus in enumerate(needs)
    ]
    holders = [await stack.worker_of(job) for job in jobs]
    assert holders[0]["id"] == holders[1]["id"]
    seen: list[set[str]] = []
    for job in jobs:
        assert await stack.until_state(job, "completed", "failed") == "completed"
        await stack.cli("jobs", "fetch", job, "--to", tmp_path / f"out-{job}")
        text = (tmp_path / f"out-{job}" / "seen").read_text().strip()
        seen.append({*filter(None, text.split(","))})
    assert seen[0]
    assert not seen[0] & seen[1]


async def test_an_openmm_cuda_job_is_relayed_and_has_each_frame_once(
    stack: Stack, tmp_path: Path
) -> None:
    openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")
    platforms = [
        openmm.Platform.getPlatform(n).getName() for n in range(openmm.Platform.getNumPlatforms())
    ]
    if "CUDA" not in platforms:
        pytest.skip("this OpenMM has no CUDA platform: pip install 'openmm[cuda12]'")
    bundle = tmp_path / "bundle"
    shutil.copytree(EXAMPLE, bundle)
    text = (bundle / "relaymd-worker.yaml").read_text()
    told = text.replace("platforms: [CPU]", "platforms: [CUDA]\n  gpus: 1")
    assert told != text
    (bundle / "relaymd-worker.yaml").write_text(told)
    script = (bundle / "run.py").read_text()
    for often, rarely in RARELY.items():
        assert often in script
        script = script.replace(often, rarely)
    (bundle / "run.py").write_text(script)
    own = ("--env", f"WATER_STEPS={STEPS}", "--env", "WATER_PLATFORM=CUDA")
    job = await stack.submit(bundle, "--title", "water on CUDA", *own)
    await stack.until_event(job, "checkpointed", count=2, within=180)
    first = await stack.worker_of(job)
    os.kill(first["pid"], signal.SIGKILL)
    await stack.until_event(job, "interrupted", within=60)
    assert await stack.until_state(job, "completed", "failed", within=400) == "completed"
    segments = (await stack.show(job))["segments"]
    assert [one["how"] for one in segments] == ["interrupted", "completed"]
    assert segments[0]["worker"] != segments[1]["worker"]
    await stack.cli("jobs", "fetch", job, "--to", tmp_path / "out")
    rows = [row.step for row in verify.read_energies(tmp_path / "out" / "energies.csv")]
    frames, _ = verify.read_frames(tmp_path / "out" / "trajectory.xtc")
    assert rows == [*range(500, STEPS + 1, 500)]
    assert frames == [*range(1000, STEPS + 1, 1000)]
