"""`office`: an orchestrator over a file of its own, for the length of the test."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.actors.office import Office, opened


@pytest.fixture
async def office(tmp_path: Path) -> AsyncGenerator[Office]:
    async with opened(tmp_path / "relaymd.db") as office:
        yield office
