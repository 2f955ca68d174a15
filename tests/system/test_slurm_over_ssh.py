"""Real Slurm behind a real sshd: nothing of it is reached but through SSH."""

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.verify import problems
from tests.system.bundles import LONG, LongRun, fake_bundle
from tests.system.slurm_cluster import SlurmCluster
from tests.system.slurm_stack import SlurmStack, cluster, over
from tests.system.sshd import SSHD, Sshd, serving

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed"),
]


@pytest.fixture
def login_node(slurm: SlurmCluster, tmp_path: Path) -> Generator[Sshd]:
    """Whoever logs in there has Slurm's commands, and the home that jobs have."""
    settings = {**slurm.environment, "HOME": str(tmp_path)}
    words = " ".join(f'{name}="{value}"' for name, value in settings.items())
    with serving(tmp_path / "sshd", more=f"SetEnv {words}") as server:
        yield server


def ssh(login_node: Sshd) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "user": login_node.user,
        "port": login_node.port,
        "identity_file": str(login_node.key),
        "known_hosts_file": str(login_node.known_hosts),
        "config_file": str(login_node.config),
        "connect_seconds": 5,
    }


def far(login_node: Sshd, name: str = "campus") -> dict[str, Any]:
    return cluster(name, ssh=ssh(login_node))


HERE_IS_NONE = {"SLURM_CONF": "/nowhere/slurm.conf"}


async def has_every_step(stack: SlurmStack, job: str, steps: int, folder: Path) -> None:
    await stack.until_state(job, "completed", within=120)
    await stack.cli("jobs", "fetch", job, "--to", folder)
    assert problems(folder / "ledger.txt", steps) == []


async def test_jobs_run_on_a_cluster_that_is_reached_by_ssh_over_one_connection(
    slurm: SlurmCluster, login_node: Sshd, tmp_path: Path
) -> None:
    async with over(slurm, tmp_path, far(login_node), **HERE_IS_NONE) as stack:
        made = bundle(tmp_path, "campus", steps=60)
        jobs = [await stack.submit(made, "--title", f"j{n}") for n in range(4)]
        for job in jobs:
            await has_every_step(stack, job, 60, tmp_path / job)
        await stack.until_at_rest()

    assert login_node.connections == 1
    assert login_node.log.count("Starting session: command") > 5


async def test_a_connection_that_is_lost_loses_no_job_and_asks_for_nothing_twice(
    slurm: SlurmCluster, login_node: Sshd, tmp_path: Path
) -> None:
    async with over(slurm, tmp_path, far(login_node), **HERE_IS_NONE) as stack:
        run = LongRun(tmp_path / "b")
        job = await stack.submit(run.bundle, "--title", "cut")
        await stack.until_running(job)
        login_node.cut()
        await stack.until_event(job, "checkpointed", count=5)
        run.let_go()
        await has_every_step(stack, job, LONG, tmp_path / "out")
        assert [segment["how"] for segment in (await stack.show(job))["segments"]] == ["completed"]
        await stack.until_at_rest()
        assert len(await stack.told("requested")) == 1


async def test_a_login_node_that_hangs_delays_no_other_cluster(
    slurm: SlurmCluster, login_node: Sshd, tmp_path: Path
) -> None:
    async with over(slurm, tmp_path, far(login_node), cluster("near")) as stack:
        run = LongRun(tmp_path / "away", resources={"clusters": ["campus"]})
        away = await stack.submit(run.bundle, "--title", "away")
        await stack.until_running(away)
        login_node.freeze()
        try:
            began = time.monotonic()
            near = await stack.submit(bundle(tmp_path, "near", steps=40), "--title", "near")
            await stack.until_event(near, "launched", within=30)
            assert time.monotonic() - began < 15
            await has_every_step(stack, near, 40, tmp_path / "out-near")
        finally:
            login_node.thaw()
        run.let_go()
        await has_every_step(stack, away, LONG, tmp_path / "out-away")
        assert [segment["how"] for segment in (await stack.show(away))["segments"]] == ["completed"]
        await stack.until_at_rest()


def bundle(folder: Path, cluster: str, *, steps: int) -> Path:
    """For this cluster alone."""
    return fake_bundle(folder / f"b-{cluster}", steps=steps, resources={"clusters": [cluster]})
