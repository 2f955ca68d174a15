"""`office`: an orchestrator over a file of its own, for the length of the test."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.actors.office import Office, opened


@pytest.fixture
async def office(tmp_path: Path) -> AsyncGenerator[Office]:
    async with opened(tmp_path / "relaymd.db") as office:
        yield office


@pytest.fixture(autouse=True)
def quiet() -> Generator[None]:
    """Crashes that a test wants are not drawn with all their locals."""
    with capture_logs():
        yield
