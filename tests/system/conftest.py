"""Whole processes on this machine. In CI a system test that is skipped has failed.

The one exception is named here: no CI of ours has a GPU.
"""

import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.system import slurm_cluster
from tests.system.slurm_cluster import SlurmCluster
from tests.system.stack import Stack, running

NEEDS_A_GPU = frozenset({"test_gpu.py"})


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncGenerator[Stack, None]:
    async with running(tmp_path / "state") as stack:
        yield stack


@pytest.fixture(scope="session")
def slurm() -> Generator[SlurmCluster, None]:
    """A whole Slurm with four nodes, for all tests of the session."""
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with slurm_cluster.running() as cluster:
        yield cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    may_be_skipped = item.path.name in NEEDS_A_GPU
    if (
        report.skipped
        and os.environ.get("CI")
        and item.get_closest_marker("system")
        and not may_be_skipped
    ):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be: {report.longrepr}"
    return report
