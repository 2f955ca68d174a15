"""Whole processes on this machine."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.system import slurm_cluster
from tests.system.slurm_cluster import SlurmCluster
from tests.system.stack import Stack, running


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
