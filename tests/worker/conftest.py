"""What the worker's tests share."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.worker.shop import Shop, opened


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncGenerator[Shop]:
    async with opened(tmp_path) as shop:
        yield shop
