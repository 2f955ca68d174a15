import asyncio
from pathlib import Path

import pytest

from relaymd.storage import folder
from relaymd.storage.folder import FolderStore


@pytest.fixture
def store_root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    folder.create(root)
    return root


@pytest.fixture
def store(store_root: Path) -> FolderStore:
    return FolderStore(store_root, asyncio.to_thread)
